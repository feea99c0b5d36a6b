//! An ordered walk over all nodes of a root, for what is written from one: images, layers, lists of digests.

use crate::error::{Result, failed};
use crate::layer::entry::Meta;
use std::io::Read;

/// A root whose every node can be visited.
pub trait Walk {
    /// Visits every node once for each of its names: the root first, each directory before its content, the
    /// names of a directory in byte order. Stops at the first error of `visit`, and returns it.
    ///
    /// No link is followed, and no depth is too large. The root must not change in the meantime.
    fn walk(&self, visit: &mut dyn FnMut(&Visited) -> Result<()>) -> Result<()>;
}

/// One node under one of its names.
pub struct Visited<'v> {
    /// Path with no leading `/`, any bytes but NUL; may be longer than Linux accepts. Empty for the root.
    pub path: &'v [u8],
    /// Owner, mode, time and extended attributes, sorted by name, with the SELinux label if it has one. The
    /// mode of a symbolic link is 0777.
    pub meta: Meta,
    /// Type of the node, with the data of that type.
    pub kind: NodeKind,
    /// Number that the node's other names have too, and no other node within one walk.
    pub inode: u64,
    /// Number of names that the node has; 1 for a directory.
    pub links: u64,
    /// Opens the content of a regular file.
    pub(in crate::root) content: &'v OpenContent<'v>,
}

/// A function that opens the content of the visited file.
pub(in crate::root) type OpenContent<'v> = dyn Fn() -> Result<Box<dyn Read + 'v>> + 'v;

/// The type of a node, with what only that type has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Length of the content in bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Target as stored: 1 to 4095 bytes.
        target: Vec<u8>,
    },
    /// A character device.
    Character {
        /// Major number, 12 bits in Linux.
        major: u32,
        /// Minor number, 20 bits in Linux.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number, 12 bits in Linux.
        major: u32,
        /// Minor number, 20 bits in Linux.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket, which neither a layer nor an archive holds.
    Socket,
}

impl Visited<'_> {
    /// Opens the content of a regular file; fails for any other node, and if the content was not kept.
    pub fn open(&self) -> Result<Box<dyn Read + '_>> {
        match self.kind {
            NodeKind::File { .. } => (self.content)(),
            _ => Err(failed(format!("/{} is not a regular file", self.path.escape_ascii()), "")),
        }
    }
}
