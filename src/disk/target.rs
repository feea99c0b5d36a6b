//! What is written: a raw image file that appears whole or not at all, or a block device whose
//! first MiB comes last. Either way, what was cut short does not boot.

use crate::disk::gpt::SECTOR;
use crate::disk::layout::{Layout, Region};
use crate::disk::lock::{Patience, lock};
use crate::disk::loops::Loop;
use crate::disk::probe::Probe;
use crate::disk::vacant::Vacant;
use crate::disk::whole::{self, WholeDisk, Writable};
use crate::error::{Result, failed, refused, usage};
use crate::filesystem::kind::Ground;
use crate::sys::block;
use crate::units::{Bytes, MIB};
use anyhow::Context;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, fstat, fstatvfs, linkat, lstat, open, renameat_with, stat,
};
use rustix::io::Errno;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Whether what stands at the target may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse it.
    Keep,
    /// The user said `--yes`.
    Replace,
}

/// A disk that is locked and may be written.
pub struct Target {
    file: File,
    path: PathBuf,
    kind: Kind,
    existing: Existing,
    size: u64,
    /// Keeps others away: the file that is replaced, which is locked; or the device, open for this
    /// program alone.
    guard: Option<File>,
}

enum Kind {
    /// A file with no name yet; it gets one when it is whole.
    Nameless,
    /// A file with a name of its own, where the filesystem has no nameless ones.
    Partial(PathBuf),
    Device,
}

/// The disk's size, before anything is written: `--size` for a file, its own for a device.
pub fn size_of(path: &Path, asked: Option<Bytes>) -> Result<Bytes> {
    if is_device(path)? {
        let size = whole::size_of(path)?;
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
    /// Claims the disk file at `path`, which may stand there if it may be replaced. It stays as it is
    /// until [`Target::finish`].
    pub fn file(path: &Path, size: Bytes, existing: Existing) -> Result<Target> {
        match look(path)? {
            Some(Stands::File) if existing == Existing::Keep => {
                Err(refused(format!("{} exists", path.display()), "replace it with --yes, or name another file"))
            }
            Some(Stands::File) => {
                let old = File::open(path).with_context(|| format!("opening {}", path.display()))?;
                lock(&old, path, Patience::Refuse)?;
                let mut target = Target::new_file(path, size, existing)?;
                target.guard = Some(old);
                Ok(target)
            }
            _ => Target::new_file(path, size, existing),
        }
    }

    /// A disk that was claimed, and that the user gave away with all that is on it; `size` is what was
    /// planned for.
    pub fn device(disk: WholeDisk, size: Bytes) -> Result<Target> {
        let name = disk.path().display().to_string();
        let sector = disk.identity().sector_size;
        if sector != SECTOR {
            return Err(refused(
                format!("{name} has sectors of {sector} bytes; flipslot writes tables for 512"),
                "name a disk with 512-byte sectors",
            ));
        }
        if disk.identity().size != size.0 {
            return Err(refused(format!("{name} became another disk while it was opened"), "run the command again"));
        }
        let path = disk.path().to_owned();
        let Writable { file, alone } = disk.into_writable()?;
        let existing = Existing::Replace;
        Ok(Target { file, path, kind: Kind::Device, existing, size: size.0, guard: Some(alone) })
    }

    fn new_file(path: &Path, size: Bytes, existing: Existing) -> Result<Target> {
        let folder = folder_of(path);
        let context = || format!("making the disk file {}", path.display());
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let (file, kind) = match open(&folder, flags, Mode::from_raw_mode(0o644)) {
            Ok(file) => (File::from(file), Kind::Nameless),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let partial = beside(path, "partial");
                let nofollow = i32::try_from(OFlags::NOFOLLOW.bits())?;
                let mut options = File::options();
                options.read(true).write(true).create(true).truncate(false).custom_flags(nofollow);
                let file = options.open(&partial).with_context(context)?;
                lock(&file, &partial, Patience::Refuse)?;
                // Another run may have given the file its name while this one waited for the lock.
                if lstat(&partial).map(|found| found.st_ino).ok() != Some(fstat(&file)?.st_ino) {
                    return Err(refused(
                        format!("{} was just written by another run", path.display()),
                        "run the command again",
                    ));
                }
                file.set_len(0).with_context(context)?;
                (file, Kind::Partial(partial))
            }
            Err(errno) => {
                let found = format!("no file can be made in {}: {errno}", folder.display());
                return Err(refused(found, "name a file in a directory that exists and can be written"));
            }
        };
        file.set_len(size.0).with_context(context)?;
        Ok(Target { file, path: path.to_owned(), kind, existing, size: size.0, guard: None })
    }

    /// Refuses a file on a filesystem that has no room for what is written to it at least.
    pub fn refuse_if_full(&self, needed: u64) -> Result<()> {
        let room = fstatvfs(&self.file).context("asking for the room on the filesystem of the disk file")?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        if matches!(self.kind, Kind::Device) || free >= needed {
            return Ok(());
        }
        let found = format!(
            "{} are free where {} shall be; the images alone have {}",
            Bytes(free),
            self.path.display(),
            Bytes(needed)
        );
        Err(refused(found, "make room, or name a file elsewhere"))
    }

    /// Makes a device unbootable: its first and last MiB become zeros; and so do those of every
    /// partition, and whatever else blkid would take for an old filesystem or table there.
    pub fn withdraw(&self, layout: &Layout) -> Result<()> {
        if !matches!(self.kind, Kind::Device) {
            return Ok(());
        }
        let zeros = vec![0; usize::try_from(MIB)?];
        let whole = Region { number: 0, start: 0, size: self.size };
        let partitions = layout.slots.iter().chain(&layout.data).chain([&layout.bios_boot, &layout.boot]);
        let regions: Vec<Region> = [whole].iter().chain(partitions).copied().collect();
        for region in &regions {
            self.write_at(region.start, &zeros)?;
            self.write_at(region.start + region.size - MIB, &zeros)?;
        }
        self.flush()?;
        regions.into_iter().try_for_each(|region| self.wipe(region))?;
        self.flush()
    }

    /// Wipes the signatures that are left somewhere: some are more than a MiB from the beginning or the
    /// end (VMFS, Promise's RAID). No other byte is touched.
    fn wipe(&self, region: Region) -> Result<()> {
        const SIGNATURE: usize = 32; // bytes; none is longer (util-linux: libblkid's magics)
        const ROUNDS: u32 = 64; // what one signature hides, the next round finds
        for _ in 0..ROUNDS {
            let device = Loop::attach(self.file.as_fd(), region)?;
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

    /// A partition of the disk, to be formatted.
    pub fn vacant(&self, region: Region) -> Result<Vacant> {
        let ground = if matches!(self.kind, Kind::Device) { Ground::Used } else { Ground::Zeros };
        Ok(Vacant::new(Loop::attach(self.file.as_fd(), region)?, ground))
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

    /// The last effect: boot code and table are written, the first MiB last of all, and the file
    /// gets its name. Before this the disk does not boot, after it, it does.
    pub fn finish(&mut self, table: Vec<(u64, Vec<u8>)>) -> Result<()> {
        let (first_mib, backup): (Vec<_>, Vec<_>) = table.into_iter().partition(|(offset, _)| *offset < MIB);
        for part in [Vec::new(), backup, first_mib] {
            for (offset, bytes) in part {
                self.write_at(offset, &bytes)?;
            }
            self.flush()?;
        }
        match &self.kind {
            Kind::Device => {
                // Where the kernel scans no partitions (EINVAL), there is nothing to read again.
                // Since Linux 5.17 the kernel does it only for who has the disk alone.
                let alone = self.guard.as_ref().unwrap_or(&self.file);
                if let Err(errno @ Errno::BUSY) = block::reread_partitions(alone) {
                    let name = self.path.display();
                    crate::tell!(
                        "flipslot: the kernel still knows the old partitions of {name} ({errno}); run: partprobe {name}"
                    );
                }
                return Ok(());
            }
            Kind::Nameless => self.give_name()?,
            Kind::Partial(partial) => {
                let flags = if self.existing == Existing::Keep { RenameFlags::NOREPLACE } else { RenameFlags::empty() };
                renameat_with(CWD, partial, CWD, &self.path, flags)
                    .with_context(|| format!("naming {}", self.path.display()))?;
                self.kind = Kind::Nameless;
            }
        }
        File::open(folder_of(&self.path))?.sync_all().context("flushing the directory of the disk file")
    }

    fn give_name(&self) -> Result<()> {
        let context = || format!("naming {}", self.path.display());
        let nameless = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        match linkat(CWD, &nameless, CWD, &self.path, AtFlags::SYMLINK_FOLLOW) {
            Err(Errno::EXIST) if self.existing == Existing::Keep => Err(failed(
                format!("{} was made by someone else meanwhile", self.path.display()),
                "look at it; replace it with --yes",
            )),
            Err(Errno::EXIST) => {
                // It was there and may be replaced: rename(2) does it at once.
                let new = beside(&self.path, "new");
                let _ = fs::remove_file(&new);
                linkat(CWD, &nameless, CWD, &new, AtFlags::SYMLINK_FOLLOW).with_context(context)?;
                fs::rename(&new, &self.path).with_context(context)
            }
            linked => linked.with_context(context),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Kind::Partial(partial) = &self.kind
            && let Err(error) = fs::remove_file(partial)
        {
            crate::tell!("flipslot: removing {}: {error}", partial.display());
        }
    }
}

/// Whether a block device is at `path`; refuses what is no disk.
pub fn is_device(path: &Path) -> Result<bool> {
    Ok(matches!(look(path)?, Some(Stands::Device)))
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

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder_of(path).join(format!(".{name}.flipslot-{what}"))
}
