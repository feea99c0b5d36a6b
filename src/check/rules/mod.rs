//! Code of the rules, by the part of a slot that they examine.

pub mod access;
pub mod agent;
pub mod cmdline;
pub mod drivers;
pub mod filesystem;
pub mod getty;
pub mod init;
pub mod initramfs;
pub mod kernel;
pub mod live;
pub mod machine_id;
pub mod mounts;
pub mod selinux;
pub mod target;
