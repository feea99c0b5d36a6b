//! The disks that this system runs from, through any layers in between: partitions, LVM, RAID, encryption, a
//! loop device over a file, an overlay over other filesystems.

use crate::disk::safety::system::System;
use crate::error::{Result, refused};
use crate::hardware::block::Block;
use crate::hardware::this;
use rustix::fs::{FileType, major, minor, stat};
use std::fs;
use std::path::Path;

impl System {
    /// Refuses a disk that is below the running root; `name` is the user's name for it.
    pub(super) fn refuse_root(&self, name: &str, disk: &Block) -> Result<()> {
        let mut starts = this::root_devices(&self.sysfs)?;
        // If this program's root is that of a container or a chroot: the root of the first process.
        starts.extend(self.device_of(&self.proc.join("1/root")));
        let mounts = fs::read_to_string(self.proc.join("self/mountinfo")).unwrap_or_default();
        starts.extend(layers_of_root(&mounts).into_iter().filter_map(|path| self.device_of(Path::new(path))));
        let Some(way) = self.way_down(starts, disk) else { return Ok(()) };
        let through = if way == disk.name() { String::new() } else { format!(" (/ is on {way})") };
        Err(refused(
            format!("{name} is the disk that this system runs from{through}; writing would destroy it"),
            "flash one of its slots instead (flipslot flash), or run this from another system, such as a live one",
        ))
    }

    /// Returns the name of the device among `starts` through which `disk` is reached: that device itself, or
    /// one below it.
    fn way_down(&self, starts: Vec<Block>, disk: &Block) -> Option<String> {
        let mut ahead: Vec<(Block, String)> = starts.into_iter().map(|block| (block.clone(), block.name())).collect();
        let mut seen: Vec<Block> = Vec::new();
        while let Some((block, start)) = ahead.pop() {
            if seen.contains(&block) {
                continue;
            }
            seen.push(block.clone());
            for below in self.sysfs.disks_below(&[block]).unwrap_or_default() {
                if below == *disk {
                    return Some(start);
                }
                let backing = below.attribute("loop/backing_file");
                let under = backing.and_then(|file| self.device_of(Path::new(&file)));
                ahead.extend(under.map(|under| (under, start.clone())));
            }
        }
        None
    }

    /// Returns the device that a file is stored on, or that it is.
    fn device_of(&self, path: &Path) -> Option<Block> {
        let found = stat(path).ok()?;
        let is_device = FileType::from_raw_mode(found.st_mode) == FileType::BlockDevice;
        let numbers = if is_device { found.st_rdev } else { found.st_dev };
        self.sysfs.numbered(major(numbers), minor(numbers))
    }
}

/// Returns the directories that an overlay at `/` is made of (kernel: filesystems/overlayfs.rst; mountinfo
/// has the options in its last field).
fn layers_of_root(mountinfo: &str) -> Vec<&str> {
    let root = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some("/")).unwrap_or_default();
    let Some((_, filesystem)) = root.split_once(" - overlay ") else { return Vec::new() };
    let options = filesystem.rsplit(' ').next().unwrap_or_default().split(',');
    let folders = options.filter_map(|option| option.split_once('='));
    let folders = folders.filter(|(key, _)| ["lowerdir", "lowerdir+", "datadir+", "upperdir", "workdir"].contains(key));
    folders.flat_map(|(_, value)| value.split(':')).filter(|path| path.starts_with('/')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_an_overlay_are_told_by_its_options() {
        let live =
            "20 1 0:30 / / rw - overlay overlay rw,lowerdir=/run/live/rootfs:/run/b,upperdir=/run/up,workdir=/run/w\n";
        assert_eq!(layers_of_root(live), ["/run/live/rootfs", "/run/b", "/run/up", "/run/w"]);
        assert!(layers_of_root("20 1 8:1 / / rw - ext4 /dev/sda1 rw,lowerdir=/x\n").is_empty());
    }
}
