//! Reads the files of the boot partition, and rewrites them in place: no write changes the filesystem around
//! them, so a power cut cannot hurt what boots the machine. If the partition is mounted, the files are
//! reached through the mount; else their bytes are found without one.

use crate::disk::installed::running::Node;
use crate::disk::safety;
use crate::error::{Result, failed, refused};
use crate::filesystem::fat;
use crate::sys::block;
use crate::words::region::Region;
use anyhow::Context;
use rustix::fs::OFlags;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Purpose for which a disk is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only, without a lock.
    Look,
    /// Changing the disk, while no other process may.
    Change,
    /// Changing the disk from the agent, which first waits for a process that is changing it.
    ChangeLater,
}

/// Unit in bytes that a disk writes completely or not at all.
const SECTOR: usize = 512;

/// The boot partition of a disk.
pub struct BootPartition {
    way: Way,
}

enum Way {
    /// Mount point of the partition.
    Mounted(PathBuf),
    /// The partition or the disk, and the offset of the partition's first byte in it.
    Device(File, u64),
}

impl BootPartition {
    /// Finds a way to access the boot partition at `region` of the disk that is open as `disk`; `numbers` are
    /// those of a device, as in sysfs, and `None` for a file.
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
        // The agent does not open it exclusively: it runs while the system starts, which may want to mount
        // the partition at that moment (efi.automount of systemd-gpt-auto-generator(8)). A failed mount would
        // be a failed unit, and the slot would not be healthy. The agent rewrites bytes of files in place,
        // which is safe beside a mount.
        let device = options.open(path).map_err(|error| {
            refused(
                format!("the boot partition {} cannot be opened: {error}", path.display()),
                format!("see what uses it: lsblk {0}; lsof {0}; run as root", path.display()),
            )
        })?;
        node.refuse_if_other(&device, region)?;
        block::drop_cache(&device).with_context(|| format!("dropping the cache of {}", path.display()))?;
        Ok(BootPartition { way: Way::Device(device, 0) })
    }

    /// Reads a file; `None` if there is none.
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

    /// Rewrites a file with as many bytes as it has. On return they are on the disk.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.write_part(path, 0, bytes, bytes.len())
    }

    /// Rewrites a file such that its first sector, which decides what GRUB makes of the file, is new before
    /// the rest is.
    pub fn write_head_first(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let head = SECTOR.min(bytes.len());
        self.write_part(path, 0, &bytes[..head], bytes.len())?;
        self.write_part(path, head, &bytes[head..], bytes.len())
    }

    /// Rewrites a file such that its first sector is written last.
    pub fn write_head_last(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let head = SECTOR.min(bytes.len());
        self.write_part(path, head, &bytes[head..], bytes.len())?;
        self.write_part(path, 0, &bytes[..head], bytes.len())
    }

    /// Writes `bytes` at offset `from` of a file of `size` bytes, and waits for the disk. Fails if the file
    /// has another size.
    fn write_part(&self, path: &str, from: usize, bytes: &[u8], size: usize) -> Result<()> {
        let writing = || format!("writing {path} on the boot partition");
        let other_size = |found: u64| {
            failed(
                format!(
                    "{path} on the boot partition has {found} bytes, not {size}: another flipslot version made the disk"
                ),
                "use the version that made it, or make the disk again",
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
