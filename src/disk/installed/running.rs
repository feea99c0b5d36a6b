//! The partition that this system runs from, according to the mounted root alone: what a boot loader left in
//! its variables or on the command line is stale after a kexec.

use crate::error::{Result, refused};
use crate::hardware::this;
use crate::init::live_facts::LiveFacts;
use crate::init::overlay::MEDIUM;
use crate::words::region::Region;
use rustix::fs::{fstat, major, minor, stat};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The partition that is mounted at `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Path of the disk's device, such as `/dev/sda`; `None` if it is not in `/dev`.
    pub disk: Option<PathBuf>,
    /// Numbers of the disk, as in sysfs (`8:0`).
    pub numbers: String,
    /// The partition's number in the table.
    pub partition: u32,
}

impl Running {
    /// Finds the partition of this system's root; `None` if the root is not a partition (a container, memory,
    /// a network).
    pub fn find() -> Option<Running> {
        let of = |device| Running::of(Path::new(&format!("/sys/dev/block/{}:{}", major(device), minor(device))));
        // The number that btrfs reports belongs to no device, but the mount names the device that was mounted.
        of(stat("/").ok()?.st_dev)
            .or_else(|| of(this::sources_of_root().ok()?.first()?.st_rdev))
            .or_else(Running::of_medium)
            .or_else(Running::of_live)
    }

    /// Finds the partition that the root is a file of; the init has mounted it.
    fn of_medium() -> Option<Running> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let (numbers, source) = device_of_medium(&mounts)?;
        let of = |numbers: &str| Running::of(Path::new(&format!("/sys/dev/block/{numbers}")));
        // As for a root that is a partition: btrfs has a number of its own.
        of(numbers).or_else(|| {
            let device = stat(source).ok()?.st_rdev;
            of(&format!("{}:{}", major(device), minor(device)))
        })
    }

    /// Finds it by what the init of this boot has noted: at the end of a shutdown, systemd has moved the mount (seen with version 257,
    /// /run/shutdown/mounts).
    fn of_live() -> Option<Running> {
        let source = LiveFacts::read().ok()??.source;
        let partuuid = source.strip_prefix("PARTUUID=")?.split('/').next()?.to_ascii_lowercase();
        let device = stat(format!("/dev/disk/by-partuuid/{partuuid}")).ok()?.st_rdev;
        Running::of(Path::new(&format!("/sys/dev/block/{}:{}", major(device), minor(device))))
    }

    fn of(sys: &Path) -> Option<Running> {
        let partition = fs::canonicalize(sys).ok()?;
        let number = fs::read_to_string(partition.join("partition")).ok()?.trim().parse().ok()?;
        let disk = partition.parent()?;
        let numbers = fs::read_to_string(disk.join("dev")).ok()?.trim().to_owned();
        Some(Running { disk: node(disk), numbers, partition: number })
    }
}

/// Returns numbers and path of the device that is mounted where the init mounts that of its image (proc(5), mountinfo:
/// field 3 has the numbers, field 5 the mount point, the second after " - " the path).
fn device_of_medium(mountinfo: &str) -> Option<(&str, &str)> {
    let line = mountinfo.lines().find(|line| line.split(' ').nth(4) == Some(MEDIUM))?;
    Some((line.split(' ').nth(2)?, line.split_once(" - ")?.1.split(' ').nth(1)?))
}

/// The device of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Path of the device node.
    pub path: PathBuf,
    /// Numbers of the device, as in sysfs.
    pub(crate) numbers: String,
    /// Offset of the first byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
}

impl Node {
    /// Finds partition `number` of the disk with these numbers; `None` if the kernel does not know it,
    /// because it scans no partitions there.
    pub fn find(disk: &str, number: u32) -> Option<Node> {
        let entries = fs::read_dir(format!("/sys/dev/block/{disk}")).ok()?;
        let read = |folder: &Path, name: &str| Some(fs::read_to_string(folder.join(name)).ok()?.trim().to_owned());
        let is_it = |path: &PathBuf| read(path, "partition") == Some(number.to_string());
        let partition = entries.flatten().map(|entry| entry.path()).find(is_it)?;
        // Both in units of 512 bytes, whatever the disk's sectors are (kernel: ABI/stable/sysfs-block).
        let bytes = |name: &str| read(&partition, name)?.parse::<u64>().ok()?.checked_mul(512);
        Some(Node {
            path: node(&partition)?,
            numbers: read(&partition, "dev")?,
            start: bytes("start")?,
            size: bytes("size")?,
        })
    }

    /// Refuses unless the kernel has the partition where the table says, and `device`, which was opened at
    /// its path, is that partition: in a container a node may be stale, and belong to another disk.
    pub fn refuse_if_other(&self, device: &File, region: Region) -> Result<()> {
        let found = fstat(device)?.st_rdev;
        if (self.start, self.size) != (region.start, region.size) {
            let found = format!("the kernel has {} at another position than the partition table", self.path.display());
            return Err(refused(found, "make the kernel read the table again: partprobe, or reboot"));
        }
        if format!("{}:{}", major(found), minor(found)) != self.numbers {
            let found = format!("{} is not the device of partition {}", self.path.display(), region.number);
            return Err(refused(found, "use a /dev that is this kernel's own (devtmpfs)"));
        }
        Ok(())
    }
}

/// Returns the device node of a folder in sysfs (DEVNAME in its uevent), if it exists.
fn node(folder: &Path) -> Option<PathBuf> {
    let uevent = fs::read_to_string(folder.join("uevent")).ok()?;
    let name = uevent.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(Path::new("/dev").join(name)).filter(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_found_from_its_partition() {
        let folder = tempfile::tempdir().unwrap();
        let partition = folder.path().join("block/null/null3");
        fs::create_dir_all(&partition).unwrap();
        fs::write(partition.join("partition"), "3\n").unwrap();
        fs::write(partition.join("../dev"), "8:0\n").unwrap();
        fs::write(partition.join("../uevent"), "MAJOR=8\nDEVNAME=null\n").unwrap();
        let running = Running::of(&partition).unwrap();
        assert_eq!(running, Running { disk: Some("/dev/null".into()), numbers: "8:0".into(), partition: 3 });
        assert_eq!(Running::of(folder.path()), None);
        let mounts =
            "20 1 0:30 / / rw - overlay overlay rw\n29 20 253:3 / /run/flipslot/medium ro - ext4 /dev/vda3 ro\n";
        assert_eq!(device_of_medium(mounts), Some(("253:3", "/dev/vda3")));
        assert_eq!(device_of_medium("20 1 0:30 / / rw - overlay overlay rw\n"), None);
    }
}
