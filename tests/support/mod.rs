//! Fixtures that several tests use.

pub mod disk;
pub mod layout;
pub mod program;
pub mod registry;
pub mod tar;
pub mod tree;
