//! The initramfs of a slot: the image's own, one that its dracut makes in the [`chamber`](crate::chamber), or one with
//! flipslot's own [`init`](crate::init), made from the slot's files alone.

pub mod carried;
pub mod compress;
pub mod dracut;
pub mod find_own;
pub mod firmware;
pub mod make;
mod microcode;
mod modprobe;
pub mod own_init;
pub mod read;
pub mod trial_units;
pub mod two_stage;
mod unpack_cpio;
