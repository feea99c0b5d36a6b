//! What stands at a path when a disk file is done: the file in its format, block map, manifest, checksums.

pub mod allocated;
pub mod artifact;
pub mod bmap;
pub mod convert;
pub mod format;
pub mod manifest;
pub mod sums;
