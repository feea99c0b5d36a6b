//! What the rules of the table look for, by what they look at.

pub mod access;
pub mod cmdline;
pub mod drivers;
pub mod filesystem;
pub mod getty;
pub mod identity;
pub mod init;
pub mod initramfs;
pub mod kernel;
pub mod mounts;
pub mod selinux;
pub mod target;
