//! Reads the files of the boot partition, and rewrites them in place: no write changes the filesystem around
//! them, so a power cut cannot hurt what boots the machine. If the partition is mounted, the files are
//! reached through the mount; else their bytes are found without one.

use crate::disk::fat;
use crate::disk::installed::running::Node;
use crate::disk::medium::Medium;
use crate::disk::safety;
use crate::error::{Result, failed, refused};
use crate::sys::block;
use crate::words::region::Region;
use anyhow::Context;
use rustix::fs::OFlags;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
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

impl Access {
    /// Returns the access of a command that changes a disk, unless it only shows what it would do.
    pub fn of(dry_run: bool) -> Access {
        if dry_run { Access::Look } else { Access::Change }
    }
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
    Unmounted { medium: Box<dyn Medium>, start: u64 },
}

impl BootPartition {
    /// Reaches the boot partition that begins at byte `start` of a medium. No other program may have it mounted.
    pub fn on(medium: Box<dyn Medium>, start: u64) -> BootPartition {
        BootPartition { way: Way::Unmounted { medium, start } }
    }

    /// Finds a way to access the boot partition at `region` of the disk that is open as `disk`; `numbers` are
    /// those of a device, as in sysfs, and `None` for a file.
    pub fn open(disk: &File, numbers: Option<&str>, region: Region, access: Access) -> Result<BootPartition> {
        let Some(node) = numbers.and_then(|numbers| Node::find(numbers, region.number)) else {
            return Ok(BootPartition::on(Box::new(disk.try_clone()?), region.start));
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
        Ok(BootPartition::on(Box::new(device), 0))
    }

    /// Reads a file; `None` if there is none.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let reading = || format!("reading {path} on the boot partition");
        match &self.way {
            Way::Mounted(place) => match fs::read(place.join(path)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                read => read.map(Some).with_context(reading),
            },
            Way::Unmounted { medium, start } => {
                let Some(runs) = fat::extents(&**medium, *start, path).with_context(reading)? else { return Ok(None) };
                let mut bytes = Vec::new();
                for (offset, length) in runs {
                    let mut run = vec![0; usize::try_from(length)?];
                    medium.read_exact_at(&mut run, start + offset).with_context(reading)?;
                    bytes.extend(run);
                }
                Ok(Some(bytes))
            }
        }
    }

    /// Rewrites a file with as many bytes as it has. On return they are on the disk.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.write_part(path, &Part { bytes, within: 0..bytes.len() })
    }

    /// Rewrites a file such that its first sector, which decides what GRUB makes of the file, is new before
    /// the rest is.
    pub fn write_head_first(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let head = SECTOR.min(bytes.len());
        self.write_part(path, &Part { bytes, within: 0..head })?;
        self.write_part(path, &Part { bytes, within: head..bytes.len() })
    }

    /// Rewrites a file such that its first sector is written last.
    pub fn write_head_last(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let head = SECTOR.min(bytes.len());
        self.write_part(path, &Part { bytes, within: head..bytes.len() })?;
        self.write_part(path, &Part { bytes, within: 0..head })
    }

    /// Writes a part of a file, and waits for the disk. Fails if the file has another size.
    fn write_part(&self, path: &str, part: &Part) -> Result<()> {
        let writing = || format!("writing {path} on the boot partition");
        match &self.way {
            Way::Mounted(place) => {
                let file = open_for_writing(&place.join(path)).with_context(writing)?;
                let whole = Run { start: 0, length: file.metadata()?.len() };
                part.refuse_other_size(path, whole.length)?;
                part.write(&file, &[whole]).with_context(writing)
            }
            Way::Unmounted { medium, start } => {
                let runs = fat::extents(&**medium, *start, path).with_context(writing)?.unwrap_or_default();
                let runs: Vec<Run> =
                    runs.into_iter().map(|(offset, length)| Run { start: start + offset, length }).collect();
                part.refuse_other_size(path, runs.iter().map(|run| run.length).sum())?;
                part.write(&**medium, &runs).with_context(writing)
            }
        }
    }
}

/// A part of the new bytes of a file.
struct Part<'b> {
    /// All bytes that the file will have.
    bytes: &'b [u8],
    /// Those that are written.
    within: Range<usize>,
}

/// A run of a file's bytes on a medium.
struct Run {
    /// Offset of the first byte on the medium.
    start: u64,
    /// Length in bytes.
    length: u64,
}

impl Part<'_> {
    fn refuse_other_size(&self, path: &str, found: u64) -> Result<()> {
        let size = self.bytes.len();
        if found == size as u64 {
            return Ok(());
        }
        Err(failed(
            format!(
                "{path} on the boot partition has {found} bytes, not {size}: another flipslot version made the disk"
            ),
            "use the version that made it, or make the disk again",
        ))
    }

    /// Writes the part to a file that consists of these runs, and flushes.
    fn write(&self, medium: &dyn Medium, runs: &[Run]) -> Result<()> {
        let mut before = 0; // bytes of the file before this run
        for run in runs {
            let length = usize::try_from(run.length)?;
            let (first, last) = (self.within.start.max(before), self.within.end.min(before + length));
            if first < last {
                medium.write_all_at(&self.bytes[first..last], run.start + (first - before) as u64)?;
            }
            before += length;
        }
        Ok(medium.flush()?)
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
