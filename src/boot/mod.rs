//! Everything that a slot boots with: kernel, initramfs, command line, and GRUB's entry for them.

pub mod agent;
pub mod chamber;
pub mod cmdline;
pub mod compress;
pub mod contents;
pub mod cpio;
pub mod dracut;
pub mod drivers;
pub mod elf;
pub mod entry;
pub mod firmware;
pub mod grub;
pub mod initramfs;
pub mod kernel;
pub mod ledger;
pub mod lz4;
pub mod modules;
pub mod record;
pub mod release;
pub mod requirements;
pub mod state;
pub mod stream;
pub mod trial;
pub mod unpack;

pub use entry::Entry;
