//! The kernel's view of devices and processes.

use crate::error::Result;
use crate::hardware::Sysfs;
use std::path::{Path, PathBuf};

/// The kernel's view of devices and processes: this machine's `/sys` and `/proc`, or a copy of them.
pub struct System {
    pub(super) sysfs: Sysfs,
    pub(super) proc: PathBuf,
}

impl System {
    /// Opens the view of this machine.
    pub fn this() -> Result<System> {
        System::at(Path::new("/sys"), Path::new("/proc"))
    }

    /// Opens the view of the machine with `/sys` and `/proc` at these paths.
    pub fn at(sys: &Path, proc: &Path) -> Result<System> {
        Ok(System { sysfs: Sysfs::at(sys)?, proc: proc.to_owned() })
    }

    /// Returns the block devices in sysfs.
    pub fn sysfs(&self) -> &Sysfs {
        &self.sysfs
    }
}
