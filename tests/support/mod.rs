//! Fixtures that several tests use.

pub mod disk;
pub mod fault_proxy;
pub mod layout;
pub mod program;
pub mod registry;
pub mod tar;
pub mod tree;
