//! Which disk a path names, what is on it, and whether it is still the same.

pub mod devices;
pub mod fingerprint;
pub mod identity;
pub mod whole;
