//! Values that every room uses: slots, digests, sizes, partition identifiers, and the regions of a disk.

pub mod digest;
pub mod location;
pub mod origin;
pub mod partuuid;
pub mod printable;
pub mod region;
pub mod slot;
pub mod units;
