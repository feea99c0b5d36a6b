//! Files that appear when a disk file is done: the disk in its format, block map, manifest, checksums.

pub mod allocated;
pub mod artifact;
pub mod bmap;
pub mod convert;
pub mod described;
pub mod format;
pub mod manifest;
pub mod sums;
pub mod written_file;
