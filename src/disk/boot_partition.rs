//! The files of the boot partition, read and rewritten in place: no write changes the filesystem
//! around them, so a power cut cannot hurt what boots the machine. If the partition is mounted, the
//! mount is the way; else its bytes are found without one.

use crate::disk::layout::Region;
use crate::disk::running::Node;
use crate::disk::safety;
use crate::error::{Result, failed, refused};
use crate::filesystem::fat;
use crate::sys::block;
use anyhow::Context;
use rustix::fs::OFlags;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a disk is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To be read.
    Look,
    /// To be changed; nobody else may do that meanwhile.
    Change,
    /// To be changed by the agent, which waits for who does that now.
    ChangeLater,
}

/// The unit that a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// The boot partition of a disk.
pub struct BootPartition {
    way: Way,
}

enum Way {
    /// Where it is mounted.
    Mounted(PathBuf),
    /// The partition or the disk, and the partition's first byte there.
    Device(File, u64),
}

impl BootPartition {
    /// Finds the way to the boot partition at `region` of the disk that is open as `disk`;
    /// `numbers` are those of a device, as sysfs writes them.
    pub fn open(disk: &File, numbers: Option<&str>, region: Region, access: Access) -> Result<BootPartition> {
        let Some(node) = numbers.and_then(|numbers| Node::find(numbers, region.number)) else {
            return Ok(BootPartition { way: Way::Device(disk.try_clone()?, region.start) });
        };
        let path = &node.path;
        if let Some(place) = safety::mounted_device(path)? {
            return Ok(BootPartition { way: Way::Mounted(place.into()) });
        }
        let mut options = File::options();
        options.read(true);
        options.write(access != Access::Look);
        if access == Access::Change {
            options.custom_flags(i32::try_from(OFlags::EXCL.bits())?);
        }
        // The agent runs while the system starts, which may want to mount the partition in that moment (efi.automount
        // of systemd-gpt-auto-generator(8)): a mount that failed would be a unit that failed, and the slot not healthy.
        // It rewrites bytes of files in place, which a mount beside it bears.
        let device = options.open(path).map_err(|error| {
            refused(
                format!("the boot partition {} cannot be opened: {error}", path.display()),
                format!("see what uses it: lsblk {0}; lsof {0}; run as root", path.display()),
            )
        })?;
        node.refuse_if_other(&device, region)?;
        block::drop_cache(&device).with_context(|| format!("reading {} anew", path.display()))?;
        Ok(BootPartition { way: Way::Device(device, 0) })
    }

    /// The bytes of a file; `None` if there is none.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let reading = || format!("reading {path} on the boot partition");
        match &self.way {
            Way::Mounted(place) => match fs::read(place.join(path)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                read => read.map(Some).with_context(reading),
            },
            Way::Device(device, start) => {
                let Some(runs) = fat::extents(device, *start, path).with_context(reading)? else { return Ok(None) };
                let mut bytes = Vec::new();
                for (offset, length) in runs {
                    let mut run = vec![0; usize::try_from(length)?];
                    device.read_exact_at(&mut run, start + offset).with_context(reading)?;
                    bytes.extend(run);
                }
                Ok(Some(bytes))
            }
        }
    }

    /// Rewrites a file of the same size; on return the disk has it.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.write_part(path, 0, bytes, bytes.len())
    }

    /// Rewrites a file such that its first sector, and what GRUB makes of the file with it, is new
    /// before the rest is.
    pub fn write_head_first(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let head = SECTOR.min(bytes.len());
        self.write_part(path, 0, &bytes[..head], bytes.len())?;
        self.write_part(path, head, &bytes[head..], bytes.len())
    }

    /// Rewrites a file such that its first sector comes last.
    pub fn write_head_last(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let head = SECTOR.min(bytes.len());
        self.write_part(path, head, &bytes[head..], bytes.len())?;
        self.write_part(path, 0, &bytes[..head], bytes.len())
    }

    /// Writes `bytes` at `from` of a file that has `size` bytes, and waits for the disk.
    fn write_part(&self, path: &str, from: usize, bytes: &[u8], size: usize) -> Result<()> {
        let writing = || format!("writing {path} on the boot partition");
        let other_size = |found: u64| {
            failed(
                format!("{path} on the boot partition has {found} bytes, not {size}: another flipslot made this disk"),
                "use the flipslot that made it, or make the disk anew",
            )
        };
        match &self.way {
            Way::Mounted(place) => {
                let file = open_for_writing(&place.join(path)).with_context(writing)?;
                let found = file.metadata()?.len();
                if found != size as u64 {
                    return Err(other_size(found));
                }
                file.write_all_at(bytes, from as u64).and_then(|()| file.sync_all()).with_context(writing)
            }
            Way::Device(device, start) => {
                let runs = fat::extents(device, *start, path).with_context(writing)?.unwrap_or_default();
                let found = runs.iter().map(|(_, length)| length).sum();
                if found != size as u64 {
                    return Err(other_size(found));
                }
                let mut before = 0; // bytes of the file before this run
                for (offset, length) in runs {
                    let length = usize::try_from(length)?;
                    let (first, last) = (from.max(before), (from + bytes.len()).min(before + length));
                    if first < last {
                        let at = start + offset + (first - before) as u64;
                        device.write_all_at(&bytes[first - from..last - from], at).with_context(writing)?;
                    }
                    before += length;
                }
                device.sync_all().with_context(writing)
            }
        }
    }
}

fn open_for_writing(path: &Path) -> Result<File> {
    File::options().write(true).open(path).map_err(|error| {
        refused(
            format!("{}: {error}", path.display()),
            "unmount the boot partition, or mount it writable: mount -o remount,rw",
        )
    })
}
