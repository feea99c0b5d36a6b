//! One scenario a file.

mod artifacts;
pub mod boots;
mod btrfs;
mod checked;
mod clone;
mod fallback;
mod firmware;
mod flash;
mod hardware;
mod kexec;
mod matrix;
mod real_disks;
mod refused;
mod second_disk;
mod state;
mod tables;
mod ten;
mod traps;
mod trials;
mod xfs;
