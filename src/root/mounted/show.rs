//! Shows a mounted root where its programs can run.

use crate::error::Result;
use crate::mount::mounted::Mount;
use crate::root::mounted::directory::Root;
use crate::root::runnable::Runnable;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Binds the root to the place, where later edits are visible. The root must have been opened in this mount
/// namespace (mount(2), EINVAL).
impl Runnable for Root {
    fn show_at(&self, place: &Path) -> Result<Mount> {
        Mount::runnable(&PathBuf::from(format!("/proc/self/fd/{}", self.fd().as_raw_fd())), place)
    }
}
