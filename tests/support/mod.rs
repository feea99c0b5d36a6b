//! Fixtures that several tests use.

pub mod certificate;
pub mod disk;
pub mod fault_proxy;
pub mod layout;
pub mod program;
pub mod push;
pub mod registry;
pub mod signing;
pub mod tar;
pub mod tree;
pub mod upstream;
