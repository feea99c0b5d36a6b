//! The target of a write: a raw image file that appears complete or not at all, or a block device with its
//! first MiB written last. Either way, an interrupted write does not boot.

pub use crate::disk::new::file::Existing;
use crate::disk::new::file::NewFile;
use crate::disk::new::layout::Layout;
use crate::disk::new::writer::DiskWriter;
use crate::disk::probe::Probe;
use crate::disk::which::whole;
use crate::disk::which::whole::{WholeDisk, Writable};
use crate::error::{Result, failed, refused, usage};
use crate::mount::lock::{Patience, lock};
use crate::mount::loop_device::Loop;
use crate::mount::vacant::{Ground, Vacant};
use crate::sys::block;
use crate::words::region::{Geometry, Region, Run};
use crate::words::units::{Bytes, MIB};
use anyhow::Context;
use rustix::fs::{FileType, fstatvfs, lstat, stat};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// A disk that is locked and may be written.
pub struct Target {
    pub(super) file: File,
    pub(super) writer: DiskWriter,
    path: PathBuf,
    kind: Kind,
    pub(super) size: u64,
    /// Size of a logical sector in bytes.
    pub(super) sector: u64,
    /// Keeps other processes away: the file that is replaced, which is locked; or the device, open for this
    /// program alone.
    guard: Option<File>,
    /// State of a partition's bytes before anything is written.
    ground: Ground,
}

enum Kind {
    /// A file that gets its name when it is complete.
    File(NewFile),
    Device,
}

/// Returns the size of the disk and of its sectors, before anything is written: as asked for a file, its own for
/// a device. The default for a file is sectors of 512 bytes.
pub fn geometry_of(path: &Path, asked: Option<Bytes>, sector: Option<u64>) -> Result<Geometry> {
    if is_device(path)? {
        let name = path.display();
        let own = whole::geometry_of(path)?;
        if let Some(asked) = asked.filter(|asked| *asked != own.size) {
            let found = format!("{name} has {}, not the {asked} of --size", own.size);
            return Err(refused(found, "omit --size"));
        }
        if let Some(asked) = sector.filter(|asked| *asked != own.sector) {
            let found = format!("{name} has sectors of {} bytes, not the {asked} of --sector-size", own.sector);
            return Err(refused(found, "omit --sector-size"));
        }
        return Ok(own);
    }
    let asked = asked.ok_or_else(|| usage("a disk file needs a size", "add --size 8GiB"))?;
    let size = Bytes(asked.0 / MIB * MIB); // whole sectors, of whatever size they are
    Ok(Geometry { size, sector: sector.unwrap_or(512) })
}

impl Target {
    /// Claims the disk file at `path`. An existing file is refused unless it may be replaced; it stays as it
    /// is until [`Finished::publish`].
    pub fn of_file(path: &Path, geometry: Geometry, existing: Existing) -> Result<Target> {
        let new_file = || Target::new_file(path, geometry, existing);
        match look(path)? {
            Some(Stands::File) if existing == Existing::Refuse => {
                Err(refused(format!("{} exists", path.display()), "replace it with --yes, or name another file"))
            }
            Some(Stands::File) => {
                let old = File::open(path).with_context(|| format!("opening {}", path.display()))?;
                lock(&old, path, Patience::Refuse)?;
                let mut target = new_file()?;
                target.guard = Some(old);
                Ok(target)
            }
            _ => new_file(),
        }
    }

    /// Takes a claimed disk that the user gave away with all that is on it. Fails unless size and sector size
    /// are as planned.
    pub fn of_disk(disk: WholeDisk, planned: Geometry) -> Result<Target> {
        let Geometry { size, sector } = planned;
        if (disk.identity().size, disk.identity().sector_size) != (size.0, sector) {
            let found = format!("{} became another disk while it was opened", disk.path().display());
            return Err(refused(found, "run the command again"));
        }
        let path = disk.path().to_owned();
        let Writable { file, alone } = disk.into_writable()?;
        let (kind, ground) = (Kind::Device, Ground::Used);
        let writer = DiskWriter::on(Box::new(file.try_clone()?), &path, ground);
        Ok(Target { file, writer, path, kind, size: size.0, sector, guard: Some(alone), ground })
    }

    fn new_file(path: &Path, geometry: Geometry, existing: Existing) -> Result<Target> {
        let Geometry { size, sector } = geometry;
        let context = || format!("making the disk file {}", path.display());
        let new = NewFile::make(path, existing, "partial")?;
        new.file().set_len(size.0).with_context(context)?;
        let file = new.file().try_clone().with_context(context)?;
        let ground = Ground::Zeros;
        let writer = DiskWriter::on(Box::new(file.try_clone().with_context(context)?), path, ground);
        let (path, kind) = (path.to_owned(), Kind::File(new));
        Ok(Target { file, writer, path, kind, size: size.0, sector, guard: None, ground })
    }

    /// Has everything that must read as zeros written, even where a new file has zeros anyway: it will be
    /// copied without its holes (`bmaptool copy`), over whatever another disk holds.
    pub fn write_zeros(&mut self) {
        self.ground = Ground::Used;
    }

    /// Refuses a file on a filesystem that has fewer than `needed` bytes free.
    pub fn refuse_if_full(&self, needed: u64) -> Result<()> {
        let room = fstatvfs(&self.file).context("reading the free space on the filesystem of the disk file")?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        if matches!(self.kind, Kind::Device) || free >= needed {
            return Ok(());
        }
        let found = format!(
            "not enough space for {}: {} free, images need {}",
            self.path.display(),
            Bytes(free),
            Bytes(needed)
        );
        Err(refused(found, "free some space, or name a file on another filesystem"))
    }

    /// Makes a device unbootable: its first and last MiB become zeros, and so do those of every partition.
    /// Also wipes whatever else blkid would take for an old filesystem or table there.
    pub fn withdraw(&self, layout: &Layout) -> Result<()> {
        if !matches!(self.kind, Kind::Device) {
            return Ok(());
        }
        let whole = Region { number: 0, start: 0, size: self.size };
        self.withdraw_from(&std::iter::once(whole).chain(layout.partitions()).collect::<Vec<_>>())
    }

    /// Zeros the first and last MiB of each region, and wipes what blkid would find there.
    pub(super) fn withdraw_from(&self, regions: &[Region]) -> Result<()> {
        self.writer.zero_ends(regions)?;
        regions.iter().try_for_each(|region| self.wipe(*region))?;
        self.flush()
    }

    /// Wipes the signatures that are left in a region: some are more than a MiB from the beginning or the end
    /// (VMFS, Promise's RAID). Only 32 bytes from each are touched.
    fn wipe(&self, region: Region) -> Result<()> {
        const SIGNATURE: usize = 32; // bytes; none is longer (util-linux: libblkid's magics)
        const ROUNDS: u32 = 64; // the next round finds what one signature hid
        for _ in 0..ROUNDS {
            let device = Loop::attach(self.file.as_fd(), region, self.sector)?;
            let left = Probe::at(device.path()).signatures()?;
            if left.is_empty() {
                return Ok(());
            }
            drop(device);
            for (offset, _) in left {
                let rest = usize::try_from(region.size.saturating_sub(offset)).unwrap_or(SIGNATURE);
                self.write_at(region.start + offset, &vec![0; SIGNATURE.min(rest)])?;
            }
            self.flush()?;
        }
        Err(failed(
            format!("{} still has old signatures after {ROUNDS} attempts to wipe them", self.path.display()),
            format!("wipe them, and run the command again: wipefs --all {}", self.path.display()),
        ))
    }

    /// Attaches a partition of the disk, to be formatted.
    pub fn vacant(&self, region: Region) -> Result<Vacant> {
        Ok(Vacant::claimed(Loop::attach(self.file.as_fd(), region, self.sector)?, self.ground))
    }

    /// Writes bytes at an offset of the disk. Omits zeros that a new file has anyway.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.writer.write_at(offset, bytes)
    }

    /// Writes `bytes` to the beginning of a partition; the rest of it is not touched. Fails if they do not fit.
    pub fn write_region(&self, region: Region, bytes: &[u8]) -> Result<()> {
        self.writer.write_region(region, bytes)
    }

    /// Waits until everything written is on the disk.
    pub fn flush(&self) -> Result<()> {
        self.writer.flush()
    }

    /// Writes boot code and table, the first MiB last of all. Before this a device does not boot; after it, it does.
    pub fn write_ends(&self, table: Vec<Run>) -> Result<()> {
        self.writer.write_ends(table)
    }

    /// Finishes a target after [`Target::write_ends`]. The kernel reads a device's table again. A file is
    /// complete now, but has no name yet: it is returned.
    pub fn finish(self) -> Finished {
        match self.kind {
            Kind::Device => {
                // Where the kernel scans no partitions (EINVAL), there is nothing to read again.
                // Since Linux 5.17 the kernel does it only for a process that has opened the disk exclusively.
                let alone = self.guard.as_ref().unwrap_or(&self.file);
                if let Err(errno @ Errno::BUSY) = block::reread_partitions(alone) {
                    let name = self.path.display();
                    crate::stderr!(
                        "flipslot: the kernel still uses the old partitions of {name} ({errno}); run: partprobe {name}"
                    );
                }
                Finished::Device
            }
            Kind::File(new) => Finished::File { new, _replaces: self.guard },
        }
    }
}

/// A complete disk.
pub enum Finished {
    /// A device, which boots now.
    Device,
    /// A file that has no name yet.
    File {
        /// The disk as raw bytes.
        new: NewFile,
        /// The file that it replaces, still locked.
        _replaces: Option<File>,
    },
}

impl Finished {
    /// Gives a raw file its name.
    pub fn publish(self) -> Result<()> {
        match self {
            Finished::Device => Ok(()),
            Finished::File { new, .. } => new.publish(),
        }
    }
}

/// Returns whether a block device is at `path`. Refuses what is not a disk.
pub fn is_device(path: &Path) -> Result<bool> {
    Ok(matches!(look(path)?, Some(Stands::Device)))
}

/// Kind of file at a path, if it could be a disk.
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
        other => Err(refused(format!("{name} is not a disk ({other:?})"), "name a file or a block device")),
    }
}
