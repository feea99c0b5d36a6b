//! Decides whether a block device may be written: finds what uses it, and how to release it.

mod device;
mod holders;
pub mod members;
mod mounts;
mod root;
mod system;
pub mod writers;

pub use device::{DESTROYED, Device};
pub use holders::Use;
pub use mounts::mounted_device;
pub use system::System;
