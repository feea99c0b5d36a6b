//! The filesystems that a slot can have: made, checked, and read without a mount.

pub mod backports;
pub mod btrfs;
pub mod ext4;
pub mod feature_table;
pub mod features;
pub mod kind;
pub mod mkfs;
pub mod properties;
pub mod xfs;
