//! A target that becomes a copy of another disk: its bytes are copied unchanged, under the checks of every
//! other target.

use crate::disk::new::target::Target;
use crate::error::Result;
use crate::mount::loop_device::Loop;
use crate::sys::block;
use crate::words::region::Region;
use anyhow::Context;
use rustix::fs::{Advice, FileType, OFlags, fadvise, fstat, major, minor};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;

impl Target {
    /// Returns the size of the target in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the open disk, for other modules to read and write.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the numbers of a device, as in sysfs (`8:0`); `None` for a file, which is all zeros at first.
    pub fn numbers(&self) -> Option<String> {
        let found = fstat(&self.file).ok()?;
        let is_device = FileType::from_raw_mode(found.st_mode) == FileType::BlockDevice;
        is_device.then(|| format!("{}:{}", major(found.st_rdev), minor(found.st_rdev)))
    }

    /// Makes a device unbootable: its first and last MiB, with either table, become zeros. So does the end of
    /// the partition that grows beyond its size on the golden disk, and any signature there that would
    /// identify the disk or the partition as something else (md keeps its superblock at the end): no copied
    /// byte overwrites that place.
    pub fn make_unbootable(&self, grown: Option<Region>) -> Result<()> {
        if self.numbers().is_none() {
            return Ok(());
        }
        let whole = Region { number: 0, start: 0, size: self.size };
        self.withdraw_from(&[Some(whole), grown].into_iter().flatten().collect::<Vec<_>>())
    }

    /// Undoes the last effect: neither boot code nor table nor its backup is left, even in a file.
    pub fn take_back(&self) -> Result<()> {
        let whole = Region { number: 0, start: 0, size: self.size };
        self.writer.zero_ends(&[whole]).context("making the disk unbootable again")
    }

    /// Opens the device again, bypassing the kernel's cache (open(2), O_DIRECT): what is written is on the
    /// disk or an error, and what is read comes from the disk. `None` for a file, and if the device does not
    /// support it.
    pub fn direct(&self) -> Result<Option<File>> {
        if self.numbers().is_none() {
            return Ok(None);
        }
        let mut options = File::options();
        options.read(true).write(true).custom_flags(i32::try_from(OFlags::DIRECT.bits())?);
        match options.open(format!("/proc/self/fd/{}", self.file.as_raw_fd())) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(None),
            Err(error) => Err(error).context("opening the disk without the kernel's cache"),
        }
    }

    /// Flushes, and drops the kernel's cache of the disk: what is read next comes from the disk.
    pub fn forget(&self) -> Result<()> {
        self.flush()?;
        if self.numbers().is_some() {
            return block::drop_cache(&self.file).context("dropping the kernel's cache of the disk");
        }
        fadvise(&self.file, 0, None, Advice::DontNeed).context("dropping the kernel's cache of the file")
    }

    /// Attaches a partition of the target as a device of its own.
    pub fn attach(&self, region: Region) -> Result<Loop> {
        Loop::attach(self.file.as_fd(), region, self.sector)
    }
}
