//! One golden disk in, many disks out: copied, read back, each with names of its own.

pub mod caveats;
pub mod chunks;
pub mod fan_out;
pub mod golden;
pub mod hashes;
pub mod names;
pub mod one;
pub mod renew;
pub mod run;
pub mod source;
pub mod targets;
pub mod unit;
pub mod writer;
