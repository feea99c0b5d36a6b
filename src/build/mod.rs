//! From an image to a bootable root: one file and one type a stage.

pub mod agent;
pub mod fill;
pub mod prepare;
