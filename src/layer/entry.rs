//! One entry of a layer, as types: what is left of a tar header once it has been checked.

use crate::layer::path::LayerPath;

/// What stands at one path after this entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: LayerPath,
    /// Owner, mode, time, extended attributes. A hard link's are those of its target: unused.
    pub meta: Meta,
    /// What.
    pub kind: Kind,
}

/// The type of an entry, with what only that type has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file of `size` bytes, which follow.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A symbolic link; the target is kept as it stands, wherever it points.
    Symlink {
        /// What the link says, 1 to 4095 bytes with no NUL.
        target: Vec<u8>,
    },
    /// A second name of a file that an earlier entry or layer made.
    Hardlink {
        /// The first name; its last component is not followed.
        target: LayerPath,
    },
    /// A device node or FIFO.
    Node(Node),
}

/// What mknod(2) can make.
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
    /// A named pipe.
    Fifo,
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
    /// Modification time: seconds since 1970, and nanoseconds below 10^9.
    pub mtime: (i64, u32),
    /// Extended attributes, names with their namespace, in the order of the archive.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}
