//! A target that becomes a copy of another disk: its bytes as they are, under the checks of every other
//! target.

use crate::disk::layout::Region;
use crate::disk::loops::Loop;
use crate::disk::target::Target;
use crate::error::Result;
use crate::sys::block;
use crate::units::MIB;
use anyhow::Context;
use rustix::fs::{Advice, FileType, OFlags, fadvise, fstat, major, minor};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

impl Target {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The disk, to be read and written by others of this program.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The numbers of a device, as sysfs writes them; a file has none, and is all zeros at first.
    pub fn numbers(&self) -> Option<String> {
        let found = fstat(&self.file).ok()?;
        let is_device = FileType::from_raw_mode(found.st_mode) == FileType::BlockDevice;
        is_device.then(|| format!("{}:{}", major(found.st_rdev), minor(found.st_rdev)))
    }

    /// Makes a device unbootable: its first and last MiB, with either table, become zeros. So does the end of
    /// the partition that will have more room than on the golden disk, and whatever else there would tell that
    /// disk or partition are something else (md keeps its superblock at the end): no copied byte comes there.
    pub fn make_unbootable(&self, grown: Option<Region>) -> Result<()> {
        if self.numbers().is_none() {
            return Ok(());
        }
        let whole = Region { number: 0, start: 0, size: self.size };
        self.withdraw_from(&[Some(whole), grown].into_iter().flatten().collect::<Vec<_>>())
    }

    /// Takes the last effect back: neither boot code nor table nor its backup is left, on a file either.
    pub fn take_back(&self) -> Result<()> {
        let zeros = vec![0; usize::try_from(MIB)?];
        for place in [0, self.size - MIB] {
            self.file.write_all_at(&zeros, place).context("making the disk unbootable again")?;
        }
        self.flush()
    }

    /// The same device once more, past the kernel's memory (open(2), O_DIRECT): what is written is on
    /// the disk or an error, and what is read comes from the disk. `None` for a file, and where the
    /// device cannot do it.
    pub fn direct(&self) -> Result<Option<File>> {
        if self.numbers().is_none() {
            return Ok(None);
        }
        let mut options = File::options();
        options.read(true).write(true).custom_flags(i32::try_from(OFlags::DIRECT.bits())?);
        match options.open(format!("/proc/self/fd/{}", self.file.as_raw_fd())) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(None),
            Err(error) => Err(error).context("opening the disk past the kernel's memory"),
        }
    }

    /// Flushes, and makes the kernel forget what it holds of the disk in memory: what is read next
    /// comes from the disk.
    pub fn forget(&self) -> Result<()> {
        self.flush()?;
        if self.numbers().is_some() {
            return block::drop_cache(&self.file).context("dropping what the kernel holds of the disk in memory");
        }
        fadvise(&self.file, 0, None, Advice::DontNeed).context("dropping what the kernel holds of the file in memory")
    }

    /// A partition of it, as a device of its own.
    pub fn attach(&self, region: Region) -> Result<Loop> {
        Loop::attach(self.file.as_fd(), region, self.sector)
    }
}
