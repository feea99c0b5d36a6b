//! One entry of a layer, as types: the content of a tar header after it has been checked.

use crate::layer::path::LayerPath;

/// An entry of a layer: a path and what to put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path inside the slot.
    pub path: LayerPath,
    /// Owner, mode, time and extended attributes; unused for a hard link, which has those of its target.
    pub meta: Meta,
    /// Type of the entry, with the data of that type.
    pub kind: Kind,
    /// Names of its extended attributes that Linux does not have; they are left out.
    pub foreign: Vec<Vec<u8>>,
}

/// The type of an entry, with what only that type has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory, which has no body.
    Directory,
    /// A regular file of `size` bytes, which follow in the archive.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A symbolic link; its target is kept as written, wherever it points.
    Symlink {
        /// Target as written: 1 to 4095 bytes, without NUL.
        target: Vec<u8>,
    },
    /// A second name of a file that an earlier entry or layer made.
    Hardlink {
        /// Existing name of the file; its last component is not followed.
        target: LayerPath,
    },
    /// A device node or FIFO.
    Node(Node),
}

/// A special file that mknod(2) makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A character device with its numbers.
    Character {
        /// Major number, 12 bits in Linux.
        major: u32,
        /// Minor number, 20 bits in Linux.
        minor: u32,
    },
    /// A block device with its numbers.
    Block {
        /// Major number, 12 bits in Linux.
        major: u32,
        /// Minor number, 20 bits in Linux.
        minor: u32,
    },
    /// A named pipe, which has no numbers.
    Fifo,
}

/// The time at which a node was last modified; an earlier one is smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Seconds since 1970, rounded down: negative before.
    pub seconds: i64,
    /// Nanoseconds after that second, below 10^9.
    pub nanoseconds: u32,
}

/// Owner, permissions, modification time and extended attributes of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Permission bits with setuid, setgid and sticky: 0 to 0o7777.
    pub mode: u32,
    /// Numeric owner; user names of an image mean nothing on this machine.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Time,
    /// Extended attributes, names with their namespace, in the order of the archive.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}
