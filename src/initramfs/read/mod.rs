//! Reads an initramfs as the kernel does: archives one after another, compressed or not.

pub mod contents;
