//! An inode (erofs_fs.h, struct erofs_inode_extended).

use crate::error::Result;
use crate::root::erofs::format::INODE_SIZE;
use crate::root::erofs::layout::Node;
use crate::root::erofs::xattrs;
use crate::root::walk::NodeKind;

/// Bit of i_format for an extended inode.
const EXTENDED: u16 = 1;
/// Layout of data in whole blocks, and of data whose rest is behind the inode (EROFS_INODE_FLAT_PLAIN, _INLINE), at bit 1.
const PLAIN: u16 = 0;
const INLINE: u16 = 2 << 1;

/// Encodes an inode.
pub fn encode(node: &Node) -> Result<Vec<u8>> {
    let format = EXTENDED | if node.is_inline { INLINE } else { PLAIN };
    let (kind, union) = match node.kind {
        NodeKind::Directory => (0o04_0000, node.first_block),
        NodeKind::File { .. } => (0o10_0000, node.first_block),
        NodeKind::Symlink { .. } => (0o12_0000, node.first_block),
        NodeKind::Character { major, minor } => (0o02_0000, device(major, minor)),
        NodeKind::Block { major, minor } => (0o06_0000, device(major, minor)),
        NodeKind::Fifo => (0o01_0000, 0),
        NodeKind::Socket => (0o14_0000, 0),
    };
    let mode = u16::try_from(kind | (node.meta.mode & 0o7777))?;
    let mut bytes = vec![0; usize::try_from(INODE_SIZE)?];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &format.to_le_bytes());
    put(2, &xattrs::count_of(node.xattrs)?.to_le_bytes());
    put(4, &mode.to_le_bytes());
    put(8, &node.length.to_le_bytes());
    put(16, &union.to_le_bytes());
    put(20, &node.number.to_le_bytes());
    put(24, &node.meta.uid.to_le_bytes());
    put(28, &node.meta.gid.to_le_bytes());
    put(32, &node.meta.mtime.seconds.to_le_bytes());
    put(40, &node.meta.mtime.nanoseconds.to_le_bytes());
    put(44, &node.links.to_le_bytes());
    Ok(bytes)
}

/// Encodes the numbers of a device (linux/kdev_t.h, new_encode_dev).
fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}
