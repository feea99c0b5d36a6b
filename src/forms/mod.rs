//! The forms that a bootable root takes: a slot of a disk, a new disk.

pub mod grub_images;
pub mod keep_data;
