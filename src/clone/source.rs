//! Opens the golden disk, a disk file or a device, for reading, and ensures that nothing writes to it in the
//! meantime.

use crate::disk::installed::running::Running;
use crate::disk::safety::{Device, System, writers};
use crate::disk::table::read as table;
use crate::error::{Result, failed, refused};
use crate::mount::lock::lock_shared;
use crate::mount::loop_device;
use crate::sys::{block, lease};
use crate::words::region::Region;
use anyhow::Context;
use rustix::fs::{Advice, FileType, OFlags, Stat, fadvise, fstat, major, minor, stat};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The disk that is copied.
pub struct Source {
    /// Path as the user wrote it.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Logical sector size in bytes; for a file, the size in which its table counts.
    pub sector: u64,
    /// Device number as sysfs writes it; a file has none.
    pub numbers: Option<String>,
    pub(crate) file: File,
    /// Metadata of the file at the time it was opened.
    found: Stat,
}

/// Hint for a source that is in use.
const RELEASE: &str = "shut down what runs from it and unmount it, or copy it while nothing writes to it";

impl Source {
    /// Opens and locks the source. Refuses anything that is not a disk, the disk that this system runs from,
    /// and a disk that may be written in the meantime: a copy of it would be inconsistent.
    pub fn open(path: &Path) -> Result<Source> {
        const NEXT: &str = "name a disk or a disk file that flipslot made";
        let name = path.display();
        let found = stat(path).map_err(|errno| refused(format!("{name}: {errno}"), NEXT))?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::BlockDevice) {
            return Err(refused(format!("{name} is not a disk"), NEXT));
        }
        let numbers =
            (kind == FileType::BlockDevice).then(|| format!("{}:{}", major(found.st_rdev), minor(found.st_rdev)));
        let file = if let Some(numbers) = &numbers { open_device(path, numbers)? } else { open_file(path)? };
        let opened = fstat(&file)?;
        if (opened.st_rdev, opened.st_ino, opened.st_dev) != (found.st_rdev, found.st_ino, found.st_dev) {
            return Err(refused(format!("{name} became another disk while it was opened"), "run the command again"));
        }
        lock_shared(&file, path)?;
        let (size, sector) = match &numbers {
            Some(_) => (block::size(&file)?, block::sector_size(&file)?),
            None => (file.metadata()?.len(), table::sector_of_file(&file)),
        };
        fadvise(&file, 0, None, Advice::Sequential)
            .context("announcing sequential reads of the source to the kernel")?;
        Ok(Source { path: path.to_owned(), size, sector, numbers, file, found: opened })
    }

    /// Fails if the file was changed since it was opened. A device cannot change, because it is open
    /// exclusively.
    pub fn refuse_if_changed(&self) -> Result<()> {
        let now = fstat(&self.file)?;
        let times = |of: &Stat| (of.st_size, of.st_mtime, of.st_mtime_nsec, of.st_ctime, of.st_ctime_nsec);
        if self.numbers.is_none() && times(&now) != times(&self.found) {
            return Err(failed(
                format!(
                    "{} was changed while it was copied: the data that was read may be inconsistent",
                    self.path.display()
                ),
                "see which program writes to it: lsof; then run the command again",
            ));
        }
        Ok(())
    }

    /// Returns whether `other` describes this disk.
    pub fn is(&self, other: &Stat) -> bool {
        is_same(&self.found, other)
    }
}

/// Returns whether two paths led to the same disk.
pub fn is_same(one: &Stat, other: &Stat) -> bool {
    let is_device = |of: &Stat| FileType::from_raw_mode(of.st_mode) == FileType::BlockDevice;
    match (is_device(one), is_device(other)) {
        (true, true) => one.st_rdev == other.st_rdev,
        (false, false) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

fn open_device(path: &Path, numbers: &str) -> Result<File> {
    let name = path.display();
    if Running::find().is_some_and(|running| running.numbers == *numbers) {
        return Err(refused(format!("this system runs from {name}, and may write to it at any moment"), RELEASE));
    }
    let device = stat(path).map(|found| Device::new(major(found.st_rdev), minor(found.st_rdev)))?;
    if device.block(&System::this()?, &name.to_string())?.is_partition() {
        return Err(refused(
            format!("{name} is a partition, but a golden disk is a whole disk"),
            "name its disk: lsblk",
        ));
    }
    device.refuse_if_used(&name.to_string(), "a copy of a disk that is written in the meantime is inconsistent")?;
    // O_EXCL on a block device: no other process has it or one of its partitions mounted, held or opened
    // exclusively, now and for as long as it is open here (open(2)).
    let exclusive = i32::try_from(OFlags::EXCL.bits())?;
    let file = File::options().read(true).custom_flags(exclusive).open(path).map_err(|error| {
        refused(
            format!(
                "{name} cannot be opened exclusively: {error}; a copy of a disk that is written in the \
                 meantime is inconsistent"
            ),
            format!("see what uses it: lsblk {name}; lsof {name}; {RELEASE}"),
        )
    })?;
    // A process that has the disk open for reading may have filled the cache before its partitions were
    // written.
    block::drop_cache(&file).with_context(|| format!("dropping the cached contents of {name}"))?;
    Ok(file)
}

fn open_file(path: &Path) -> Result<File> {
    let name = path.display();
    let file = File::open(path).map_err(|error| refused(format!("{name}: {error}"), "run as root"))?;
    let size = file.metadata()?.len();
    if let Some(device) = loop_device::writable_over_file(path, Region { number: 0, start: 0, size })? {
        let found = format!("{name} is in use: {device} is a loop device over it, and may be written in the meantime");
        return Err(refused(found, format!("release it: umount {device}; losetup --detach {device}")));
    }
    let asking = || format!("asking whether {name} is open for writing");
    let writer = || Ok(lease::is_open_for_writing(&file).with_context(asking)?.filter(|is_written| *is_written));
    if writers::lasting(writer)?.is_some() {
        let found = format!(
            "{name} is open in a program that may write to it (such as a virtual machine); the copy would be \
             inconsistent"
        );
        return Err(refused(found, format!("see which: lsof {name}; {RELEASE}")));
    }
    Ok(file)
}
