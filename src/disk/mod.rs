//! Disks: the file or device that is written, its table, and its partitions.

pub mod gpt;
pub mod layout;
pub mod loops;
pub mod mount;
pub mod safety;
pub mod target;

pub use layout::{Layout, Region};
pub use target::Target;
