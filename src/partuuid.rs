//! What Linux calls a partition, whatever it is numbered and wherever its disk hangs: PARTUUID.

use std::fmt;
use uuid::Uuid;

/// The name of one partition; two disks never share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartUuid {
    /// Of a GPT: the partition's own GUID.
    Gpt(Uuid),
    /// Of an MBR: the disk's signature, and the partition's number.
    Mbr {
        /// The four bytes before the table.
        disk: u32,
        /// From 1; logical partitions from 5.
        number: u32,
    },
}

impl PartUuid {
    /// The name of a partition that is not there yet: of none.
    pub const NONE: PartUuid = PartUuid::Gpt(Uuid::nil());
}

impl fmt::Display for PartUuid {
    /// As the kernel and blkid spell it; for MBR with eight and two hexadecimal digits (kernel:
    /// block/partitions/msdos.c, set_info).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartUuid::Gpt(guid) => guid.fmt(f),
            PartUuid::Mbr { disk, number } => write!(f, "{disk:08x}-{number:02x}"),
        }
    }
}
