//! The initramfs of a slot: the image's own, or one that its dracut makes in the [`chamber`](crate::chamber).

pub mod compress;
pub mod dracut;
pub mod make;
pub mod read;
pub mod source;
pub mod trial_units;
