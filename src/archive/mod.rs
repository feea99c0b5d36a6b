//! The form of an initramfs, and the compressions that the kernel reads: of archives, and of modules.

pub mod counted;
pub mod cpio;
pub mod lz4;
pub mod unpack;
pub mod write_cpio;
