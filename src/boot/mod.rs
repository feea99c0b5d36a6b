//! What makes a slot boot: kernel, initramfs, command line, and GRUB's view of them.

pub mod agent;
pub mod chamber;
pub mod cmdline;
pub mod compress;
pub mod cpio;
pub mod dracut;
pub mod entry;
pub mod grub;
pub mod hardware;
pub mod initramfs;
pub mod kernel;
pub mod ledger;
pub mod record;
pub mod release;
pub mod requirements;
pub mod root_filesystem;
pub mod state;
pub mod trial;

pub use entry::Entry;
pub use hardware::Hardware;
