//! Values that every room uses: slots, digests, sizes, partition identifiers, and the regions of a disk.

pub mod digest;
pub mod hex;
pub mod host_name;
pub mod kernel_line;
#[cfg(feature = "tool")]
pub mod loader;
#[cfg(feature = "fetch")]
pub mod location;
pub mod origin;
pub mod partuuid;
pub mod pattern;
pub mod printable;
#[cfg(feature = "fetch")]
pub mod region;
pub mod slot;
pub mod units;
