//! Machines: what one needs to boot, read from sysfs, from a file, or from a profile in the tree.

pub mod inventory;

pub use inventory::Inventory;
