//! The data of a directory: blocks, each with its entries and then their names (erofs_fs.h, struct erofs_dirent).

use crate::root::walk::NodeKind;

/// Size of an entry in bytes, without its name.
const ENTRY: usize = 12;
/// Size of a block in bytes.
#[allow(clippy::cast_possible_truncation)] // 4096
const BLOCK: usize = crate::root::erofs::format::BLOCK as usize;
/// Type of a directory in an entry (linux/fs_types.h, FT_DIR).
pub const DIRECTORY: u8 = 2;

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name, without `/` or NUL.
    pub name: Vec<u8>,
    /// Index of the node.
    pub node: usize,
    /// Type of the node, as entries have it.
    pub kind: u8,
}

/// Returns the type of a node for its entry (linux/fs_types.h, FT_*).
pub fn kind_of(kind: &NodeKind) -> u8 {
    match kind {
        NodeKind::File { .. } => 1,
        NodeKind::Directory => DIRECTORY,
        NodeKind::Character { .. } => 3,
        NodeKind::Block { .. } => 4,
        NodeKind::Fifo => 5,
        NodeKind::Socket => 6,
        NodeKind::Symlink { .. } => 7,
    }
}

/// Splits sorted names into those that each block holds.
fn blocks(names: &[Name]) -> Vec<&[Name]> {
    let (mut blocks, mut begin, mut filled) = (Vec::new(), 0, 0);
    for (index, name) in names.iter().enumerate() {
        let size = ENTRY + name.name.len();
        if filled + size > BLOCK {
            blocks.push(&names[begin..index]);
            (begin, filled) = (index, 0);
        }
        filled += size;
    }
    blocks.push(&names[begin..]);
    blocks
}

/// Returns the length in bytes of the data of a directory.
pub fn length_of(names: &[Name]) -> u64 {
    let blocks = blocks(names);
    let last = blocks.last().map_or(0, |names| names.iter().map(|name| ENTRY + name.name.len()).sum());
    ((blocks.len() - 1) * BLOCK + last) as u64
}

/// Encodes the data of a directory; `number_of` returns the number of a node in the image.
#[allow(clippy::cast_possible_truncation)] // an offset in a block is below 4096
pub fn encode(names: &[Name], number_of: impl Fn(usize) -> u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in blocks(names) {
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        let mut place = block.len() * ENTRY;
        for name in block {
            bytes.extend(number_of(name.node).to_le_bytes());
            bytes.extend((place as u16).to_le_bytes());
            bytes.extend([name.kind, 0]);
            place += name.name.len();
        }
        block.iter().for_each(|name| bytes.extend(&name.name));
    }
    bytes
}
