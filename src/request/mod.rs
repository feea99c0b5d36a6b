//! What the user asks for: flags, config file and defaults, joined and checked before anything is read or written.

pub mod by_slot;
pub mod config;
pub mod consent;
pub mod disk;
pub mod flash;
pub mod location;
pub mod plan_file;
pub mod slot;
