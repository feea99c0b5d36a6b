//! The unit in which disks are copied.

/// Unit in which a disk is read, hashed and written, in bytes. Part of the definition of the hash
/// (docs/clone.md).
pub const CHUNK: u64 = crate::words::units::MIB;
/// [`CHUNK`] as the length of a buffer in memory, in bytes.
pub const CHUNK_LENGTH: usize = 1 << 20;
/// Alignment of a chunk in memory and on the disk, in bytes: enough for direct I/O, past the kernel's cache,
/// on every disk (open(2), O_DIRECT: the logical block size, at most a page).
pub const ALIGNED: usize = 4096;
