//! Clones one golden disk onto many at the same time: read once ([`source`], [`pieces`]), passed to every
//! disk ([`spread`]), written ([`sink`]), read back ([`hashes`]), made different from its siblings
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

/// Unit in which a disk is read, hashed and written, in bytes. Part of the definition of the hash
/// (docs/clone.md).
pub const CHUNK: u64 = crate::units::MIB;
/// [`CHUNK`] as the length of a buffer in memory, in bytes.
const CHUNK_LENGTH: usize = 1 << 20;
/// Alignment of a chunk in memory and on the disk, in bytes: enough for direct I/O, past the kernel's cache,
/// on every disk (open(2), O_DIRECT: the logical block size, at most a page).
pub const ALIGNED: usize = 4096;
