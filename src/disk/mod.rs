//! Disks: the file or device that is written, its table, and its partitions.

pub mod boot_files;
pub mod boot_partition;
pub mod claim;
pub mod clone_target;
mod devices;
pub mod fingerprint;
pub mod golden_table;
mod gpt;
mod gpt_clone;
pub mod identity;
pub mod installed;
pub mod layout;
pub mod lock;
pub mod loops;
mod mbr;
mod mbr_clone;
pub mod mount;
pub mod new_file;
pub mod outlook;
pub mod probe;
pub mod running;
pub mod safety;
pub mod surroundings;
pub mod table;
pub mod target;
pub mod vacant;
pub mod whole;

pub use installed::Disk;
pub use layout::{Layout, Region};
pub use target::Target;
