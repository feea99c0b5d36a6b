//! What is written: a raw image file that appears whole or not at all, or a block device whose
//! first MiB comes last. Either way, what was cut short does not boot.

use crate::disk::gpt::SECTOR;
use crate::disk::layout::{Layout, Region};
use crate::disk::lock::{Patience, lock};
use crate::disk::loops::Loop;
pub use crate::disk::new_file::Existing;
use crate::disk::new_file::NewFile;
use crate::disk::safety::Device;
use crate::disk::vacant::Vacant;
use crate::error::{Result, failed, refused, usage};
use crate::filesystem::kind::Ground;
use crate::sys::block;
use crate::units::{Bytes, MIB};
use anyhow::Context;
use rustix::fs::{FileType, OFlags, fstat, fstatvfs, lstat, major, minor, stat};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A disk that is locked and may be written.
pub struct Target {
    file: File,
    path: PathBuf,
    kind: Kind,
    size: u64,
    /// The file that is replaced; its lock keeps a second run away.
    replaces: Option<File>,
    /// What a partition's bytes are before anything is written.
    ground: Ground,
}

enum Kind {
    /// A file that gets its name when it is whole.
    File(NewFile),
    Device,
}

/// The disk's size, before anything is written: `--size` for a file, its own for a device.
pub fn size_of(path: &Path, asked: Option<Bytes>) -> Result<Bytes> {
    if let Some(Stands::Device) = look(path)? {
        let device = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let size = block::size(&device).with_context(|| format!("asking for the size of {}", path.display()))?;
        return match asked {
            Some(asked) if asked.0 != size => {
                let found = format!("{} has {}, not the {asked} of --size", path.display(), Bytes(size));
                Err(refused(found, "leave --size away"))
            }
            _ => Ok(Bytes(size)),
        };
    }
    let asked = asked.ok_or_else(|| usage("a disk file needs a size", "write --size 8GiB"))?;
    Ok(Bytes(asked.0 / MIB * MIB)) // whole sectors, of whatever size a machine gives them
}

impl Target {
    /// Opens and locks the disk. Refuses what is in use, what is no disk, and what exists unless
    /// it may be replaced. A file stays as it is until [`Target::finish`].
    pub fn claim(path: &Path, size: Bytes, existing: Existing) -> Result<Target> {
        match look(path)? {
            Some(Stands::Device) => Target::device(path, existing),
            Some(Stands::File) if existing == Existing::Keep => {
                Err(refused(format!("{} exists", path.display()), "replace it with --yes, or name another file"))
            }
            Some(Stands::File) => {
                let old = File::open(path).with_context(|| format!("opening {}", path.display()))?;
                lock(&old, path, Patience::Refuse)?;
                let mut target = Target::new_file(path, size, existing)?;
                target.replaces = Some(old);
                Ok(target)
            }
            None => Target::new_file(path, size, existing),
        }
    }

    fn device(path: &Path, existing: Existing) -> Result<Target> {
        let name = path.display().to_string();
        let found = stat(path).with_context(|| format!("looking at {name}"))?;
        Device::new(major(found.st_rdev), minor(found.st_rdev)).refuse_if_used(&name)?;
        // O_EXCL on a block device: nobody else has it mounted, held or open so (open(2)).
        let exclusive = i32::try_from(OFlags::EXCL.bits())?;
        let file = File::options().read(true).write(true).custom_flags(exclusive).open(path).map_err(|error| {
            refused(
                format!("{name} cannot be opened for this program alone: {error}"),
                format!("see what uses it: lsblk {name}; lsof {name}"),
            )
        })?;
        if fstat(&file)?.st_rdev != found.st_rdev {
            return Err(refused(format!("{name} became another device while it was opened"), "run the command again"));
        }
        lock(&file, path, Patience::Refuse)?;
        let sector = block::sector_size(&file)?;
        if sector != SECTOR {
            return Err(refused(
                format!("{name} has sectors of {sector} bytes; flipslot writes tables for 512"),
                "name a disk with 512-byte sectors",
            ));
        }
        let size = block::size(&file)?;
        if existing == Existing::Keep && !is_empty(&file, size)? {
            return Err(refused(
                format!("{name} is not empty"),
                format!("see what is on it: wipefs {name}; overwrite it with --yes"),
            ));
        }
        Ok(Target { file, path: path.to_owned(), kind: Kind::Device, size, replaces: None, ground: Ground::Used })
    }

    fn new_file(path: &Path, size: Bytes, existing: Existing) -> Result<Target> {
        let context = || format!("making the disk file {}", path.display());
        let new = NewFile::make(path, existing, "partial")?;
        new.file().set_len(size.0).with_context(context)?;
        let file = new.file().try_clone().with_context(context)?;
        let kind = Kind::File(new);
        Ok(Target { file, path: path.to_owned(), kind, size: size.0, replaces: None, ground: Ground::Zeros })
    }

    /// Has everything that must read as zeros written, also where a new file has zeros anyway: it will be
    /// copied without its holes (`bmaptool copy`), over whatever another disk holds.
    pub fn write_zeros(&mut self) {
        self.ground = Ground::Used;
    }

    /// Refuses a file on a filesystem that has no room for what is written to it at least.
    pub fn refuse_if_full(&self, needed: u64) -> Result<()> {
        let room = fstatvfs(&self.file).context("asking for the room on the filesystem of the disk file")?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        if matches!(self.kind, Kind::Device) || free >= needed {
            return Ok(());
        }
        let found = format!(
            "{} are free where {} shall be; its images alone take {}",
            Bytes(free),
            self.path.display(),
            Bytes(needed)
        );
        Err(refused(found, "make room, or name a file elsewhere"))
    }

    /// Makes a device unbootable: its first and last MiB become zeros; and so do those of every
    /// partition, so that none of the old filesystems shows up in a new partition.
    pub fn withdraw(&self, layout: &Layout) -> Result<()> {
        if matches!(self.kind, Kind::Device) {
            let zeros = vec![0; usize::try_from(MIB)?];
            self.write_at(0, &zeros)?;
            self.write_at(self.size - MIB, &zeros)?;
            for region in layout.slots.iter().chain(&layout.data) {
                self.write_at(region.start, &zeros)?;
                self.write_at(region.start + region.size - MIB, &zeros)?;
            }
            self.flush()?;
        }
        Ok(())
    }

    /// A partition of the disk, to be formatted.
    pub fn vacant(&self, region: Region) -> Result<Vacant> {
        Ok(Vacant::new(Loop::attach(self.file.as_fd(), region)?, self.ground))
    }

    /// Writes bytes at an offset of the disk. Zeros that a new file has anyway are left out.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        const PAGE: usize = 4096;
        for (page, at) in bytes.chunks(PAGE).zip((offset..).step_by(PAGE)) {
            if matches!(self.kind, Kind::Device) || page.iter().any(|byte| *byte != 0) {
                self.file
                    .write_all_at(page, at)
                    .with_context(|| format!("writing {} at byte {at}", self.path.display()))?;
            }
        }
        Ok(())
    }

    /// Writes all of a partition; what it does not fill is not touched.
    pub fn write_region(&self, region: Region, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 > region.size {
            return Err(failed(
                format!("{} bytes do not fit partition {} of {}", bytes.len(), region.number, Bytes(region.size)),
                "",
            ));
        }
        self.write_at(region.start, bytes)
    }

    /// Waits until everything written is on the disk.
    pub fn flush(&self) -> Result<()> {
        self.file.sync_all().with_context(|| format!("flushing {}", self.path.display()))
    }

    /// Boot code and table are written, the first MiB last of all. Before this a device does not boot,
    /// after it, it does. A file is whole now, but has no name yet: it is returned.
    pub fn finish(self, table: Vec<(u64, Vec<u8>)>) -> Result<Finished> {
        let (first_mib, backup): (Vec<_>, Vec<_>) = table.into_iter().partition(|(offset, _)| *offset < MIB);
        for part in [Vec::new(), backup, first_mib] {
            for (offset, bytes) in part {
                self.write_at(offset, &bytes)?;
            }
            self.flush()?;
        }
        match self.kind {
            Kind::Device => {
                // Where the kernel scans no partitions (EINVAL), there is nothing to read again.
                if let Err(errno @ Errno::BUSY) = block::reread_partitions(&self.file) {
                    let name = self.path.display();
                    crate::tell!(
                        "flipslot: the kernel still knows the old partitions of {name} ({errno}); run: partprobe {name}"
                    );
                }
                Ok(Finished::Device)
            }
            Kind::File(new) => Ok(Finished::File { new, _replaces: self.replaces }),
        }
    }
}

/// A disk that is whole.
pub enum Finished {
    /// A device: it boots.
    Device,
    /// A file that has no name yet.
    File {
        /// The disk as raw bytes.
        new: NewFile,
        /// What it replaces, still locked.
        _replaces: Option<File>,
    },
}

/// What stands at a path and could be a disk.
enum Stands {
    File,
    Device,
}

fn look(path: &Path) -> Result<Option<Stands>> {
    let name = path.display();
    let kind = match stat(path) {
        Err(Errno::NOENT) if lstat(path).is_ok() => {
            return Err(refused(format!("{name} is a link to nothing"), "name a file or a block device"));
        }
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno).with_context(|| format!("looking at {name}")),
        Ok(found) => FileType::from_raw_mode(found.st_mode),
    };
    match kind {
        FileType::RegularFile => Ok(Some(Stands::File)),
        FileType::BlockDevice => Ok(Some(Stands::Device)),
        FileType::Directory => Err(refused(format!("{name} is a directory"), "name a file or a block device")),
        other => Err(refused(format!("{name} is no disk ({other:?})"), "name a file or a block device")),
    }
}

/// Whether the first and the last MiB, where tables and most filesystems and RAIDs have their
/// signatures, hold only zeros.
fn is_empty(file: &File, size: u64) -> Result<bool> {
    let mut bytes = vec![0; usize::try_from(MIB)?];
    for place in [0, size.saturating_sub(MIB)] {
        let length = file.read_at(&mut bytes, place)?;
        if bytes[..length].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}
