//! PARTUUID: Linux's name for a partition, however the kernel numbers it and wherever its disk is attached.

use std::fmt;
use uuid::Uuid;

/// The PARTUUID of one partition; two disks never share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartUuid {
    /// On a GPT disk: the partition's own GUID.
    Gpt(Uuid),
    /// On an MBR disk: the disk's signature, and the partition's number.
    Mbr {
        /// Signature of the disk: the four bytes before the table.
        disk: u32,
        /// Number of the partition, from 1; logical partitions from 5.
        number: u32,
    },
}

impl PartUuid {
    /// The name of no partition, for one that does not exist yet.
    pub const NONE: PartUuid = PartUuid::Gpt(Uuid::nil());
}

impl fmt::Display for PartUuid {
    /// Prints the name as the kernel and blkid spell it; for MBR with eight and two hexadecimal digits
    /// (kernel: block/partitions/msdos.c, set_info).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartUuid::Gpt(guid) => guid.fmt(f),
            PartUuid::Mbr { disk, number } => write!(f, "{disk:08x}-{number:02x}"),
        }
    }
}
