//! Numbers of the format (erofs_fs.h).

/// Size of a block in bytes: the only one that kernels before 6.4 read.
pub const BLOCK: u64 = 4096;
/// Offset of the superblock (erofs_fs.h, EROFS_SUPER_OFFSET).
pub const SUPERBLOCK: u64 = 1024;
/// Size of the superblock in bytes (erofs_fs.h, struct erofs_super_block).
pub const SUPERBLOCK_SIZE: u64 = 128;
/// First four bytes of the superblock (erofs_fs.h, EROFS_SUPER_MAGIC_V1).
pub const MAGIC: u32 = 0xe0f5_e1e2;
/// Compatible feature: inodes have times of their own (erofs_fs.h, EROFS_FEATURE_COMPAT_MTIME).
pub const HAS_TIMES: u32 = 2;
/// Size of an extended inode in bytes.
pub const INODE_SIZE: u64 = 64;
