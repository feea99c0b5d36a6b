//! Requests of the user: flags, config file and defaults, joined and checked before anything is written.

pub mod by_slot;
pub mod config;
pub mod consent;
pub mod disk;
pub mod flash;
pub mod images;
pub mod netboot;
pub mod netboot_config;
pub mod older;
pub mod root;
pub mod slot;
