//! The initramfs of a slot: the image's own, or one that its dracut makes in the [`chamber`](crate::chamber).

pub mod compress;
pub mod dracut;
pub mod find_own;
pub mod firmware;
pub mod make;
pub mod read;
pub mod trial_units;
