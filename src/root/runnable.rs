//! Roots that can be mounted where their programs can run.

use crate::error::Result;
use crate::mount::mounted::Mount;
use std::path::Path;

/// A root that can be made visible in this machine's mount namespace, so that its programs can run there.
pub trait Runnable {
    /// Makes the root visible at the directory `mount_point`: read-only, executable, without the rights of setuid
    /// programs, without usable devices. Later edits of the root may or may not be visible there. Needs root.
    fn show_at(&self, mount_point: &Path) -> Result<Mount>;
}
