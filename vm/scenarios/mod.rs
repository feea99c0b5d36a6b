//! One scenario per file.

mod artifacts;
pub mod boots;
mod btrfs;
mod checked;
mod clone;
mod fallback;
mod firmware;
mod flash;
mod flash_cut;
mod hardware;
mod kexec;
mod matrix;
mod netboot;
mod netboot_faults;
mod own_init;
mod pairwise;
mod real_disks;
mod refused;
mod second_disk;
mod soak;
mod state;
mod tables;
mod traps;
mod trials;
mod two_stage;
mod xfs;
