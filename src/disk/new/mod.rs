//! A disk that is being made: its layout, and the file or device that it is written to.

pub mod clone_target;
pub mod file;
pub mod gpt;
pub mod ids;
pub mod layout;
pub mod mbr;
pub mod target;
pub mod writer;
