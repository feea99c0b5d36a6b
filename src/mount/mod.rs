//! Private mounts, loop devices and locks: needed by every room that touches a disk.

pub mod lock;
pub mod loop_device;
pub mod mounted;
pub mod scratch;
pub mod vacant;
#[cfg(feature = "tool")]
pub mod workplace;
