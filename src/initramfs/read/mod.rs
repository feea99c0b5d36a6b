//! Reads an initramfs as the kernel does: archives one after another, compressed or not.

pub mod contents;
pub mod counted;
pub mod cpio;
pub mod lz4;
pub mod unpack;
