//! One golden disk onto many at the same time: read once ([`source`], [`pieces`]), given to every disk
//! ([`spread`]), written ([`sink`]), read back ([`hashes`]), made different from its siblings
//! ([`identity`]), and made bootable last ([`one`]).

pub mod golden;
pub mod hashes;
pub mod identity;
pub mod names;
pub mod one;
pub mod pieces;
pub mod remarks;
pub mod run;
pub mod sink;
pub mod source;
pub mod spread;
pub mod targets;

/// The unit in which a disk is read, hashed and written, in bytes. It is part of what the hash means
/// (docs/clone.md).
pub const CHUNK: u64 = crate::units::MIB;
/// The same, as the length of what is in memory.
const CHUNK_LENGTH: usize = 1 << 20;
/// Where a chunk begins in memory and on the disk, in bytes: what every disk takes past the kernel's
/// memory (open(2), O_DIRECT: the logical block size, at most a page).
pub const ALIGNED: usize = 4096;
