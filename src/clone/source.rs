//! The golden disk: a disk file or a device, opened to be read, that nobody writes meanwhile.

use crate::disk::layout::Region;
use crate::disk::lock::lock_shared;
use crate::disk::loops;
use crate::disk::running::Running;
use crate::disk::safety::{Device, System, writers};
use crate::disk::table;
use crate::error::{Result, failed, refused};
use crate::sys::{block, lease};
use anyhow::Context;
use rustix::fs::{Advice, FileType, OFlags, Stat, fadvise, fstat, major, minor, stat};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A disk that is copied.
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes of a logical sector; of a file those that its table counts in.
    pub sector: u64,
    /// The numbers of a device, as sysfs writes them; a file has none.
    pub numbers: Option<String>,
    pub(crate) file: File,
    /// What the file was when it was opened.
    found: Stat,
}

/// What to do about a source that is in use.
const RELEASE: &str = "shut down what runs from it and unmount it, or copy it while nobody writes it";

impl Source {
    /// Opens and locks it. Refuses what is no disk, the disk that this system runs from, and one that
    /// somebody may be writing: a copy of that would be torn.
    pub fn open(path: &Path) -> Result<Source> {
        const NEXT: &str = "name a disk or a disk file that flipslot made";
        let name = path.display();
        let found = stat(path).map_err(|errno| refused(format!("{name}: {errno}"), NEXT))?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::BlockDevice) {
            return Err(refused(format!("{name} is no disk"), NEXT));
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
        fadvise(&file, 0, None, Advice::Sequential).context("telling the kernel how the source is read")?;
        Ok(Source { path: path.to_owned(), size, sector, numbers, file, found: opened })
    }

    /// Fails if the file was changed since it was opened. A device cannot be: it is held.
    pub fn refuse_if_changed(&self) -> Result<()> {
        let now = fstat(&self.file)?;
        let times = |of: &Stat| (of.st_size, of.st_mtime, of.st_mtime_nsec, of.st_ctime, of.st_ctime_nsec);
        if self.numbers.is_none() && times(&now) != times(&self.found) {
            return Err(failed(
                format!(
                    "{} was changed while it was copied: what was read of it may not fit together",
                    self.path.display()
                ),
                "see who writes it: lsof; then run the command again",
            ));
        }
        Ok(())
    }

    /// Whether `other` is the same disk.
    pub fn is(&self, other: &Stat) -> bool {
        is_same(&self.found, other)
    }
}

/// Whether two paths led to the same disk.
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
        return Err(refused(format!("this system runs from {name}, and writes it at every moment"), RELEASE));
    }
    let device = stat(path).map(|found| Device::new(major(found.st_rdev), minor(found.st_rdev)))?;
    if device.block(&System::this()?, &name.to_string())?.is_partition() {
        return Err(refused(
            format!("{name} is a partition, and a golden disk is a whole one"),
            "name its disk: lsblk",
        ));
    }
    device.refuse_if_used(&name.to_string(), "a copy of what is written meanwhile is torn")?;
    // O_EXCL on a block device: nobody has it or a partition of it mounted, held or open so, now and
    // as long as it is open here (open(2)).
    let exclusive = i32::try_from(OFlags::EXCL.bits())?;
    let file = File::options().read(true).custom_flags(exclusive).open(path).map_err(|error| {
        refused(
            format!("{name} cannot be had for this program alone: {error}; a disk that is written meanwhile gives a torn copy"),
            format!("see what uses it: lsblk {name}; lsof {name}; {RELEASE}"),
        )
    })?;
    // Who has it open to read it keeps what was read, while its partitions were written.
    block::drop_cache(&file).with_context(|| format!("reading {name} anew"))?;
    Ok(file)
}

fn open_file(path: &Path) -> Result<File> {
    let name = path.display();
    let file = File::open(path).map_err(|error| refused(format!("{name}: {error}"), "run as root"))?;
    let size = file.metadata()?.len();
    if let Some(device) = loops::writable_over_file(path, Region { number: 0, start: 0, size })? {
        let found = format!("{name} is in use: {device} is a loop device over it, and may be written meanwhile");
        return Err(refused(found, format!("release it: umount {device}; losetup --detach {device}")));
    }
    let asking = || format!("asking who writes {name}");
    let writer = || Ok(lease::is_open_for_writing(&file).with_context(asking)?.filter(|is_written| *is_written));
    if writers::lasting(writer)?.is_some() {
        let found =
            format!("{name} is open in a program that may write it (a virtual machine, say); the copy would be torn");
        return Err(refused(found, format!("see which: lsof {name}; {RELEASE}")));
    }
    Ok(file)
}
