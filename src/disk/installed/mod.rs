//! A disk that flipslot has made: its slots, its boot partition, and the slot that runs.

pub mod boot_files;
pub mod boot_partition;
pub mod claim;
pub mod open;
pub mod running;
pub mod state_home;
