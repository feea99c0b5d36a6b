//! Disks: which one it is and whether it may be written, its table, a new one, one with slots.

pub mod installed;
pub mod new;
pub mod safety;
pub mod table;
pub mod which;
