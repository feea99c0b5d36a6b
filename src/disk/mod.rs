//! Disks: the file or device that is written, its table, and its partitions.

pub mod boot_files;
pub mod boot_partition;
pub mod claim;
mod devices;
pub mod gpt;
pub mod installed;
pub mod layout;
pub mod lock;
pub mod loops;
pub mod mount;
pub mod new_file;
pub mod outlook;
pub mod running;
pub mod safety;
pub mod surroundings;
pub mod target;
pub mod vacant;

pub use installed::Disk;
pub use layout::{Layout, Region};
pub use target::Target;
