//! The filesystems that a slot can have: made, checked, and read without a mount.

pub mod btrfs;
pub mod ext4;
pub mod fat;
pub mod feature_table;
pub mod features;
pub mod identity;
pub mod kind;
pub mod xfs;
