//! The identifiers by which a disk and its partitions are known.

use crate::words::partuuid::PartUuid;
use crate::words::region::Region;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Identifiers of a new disk and its partitions.
#[derive(Debug, Clone)]
pub enum Ids {
    /// GUIDs of the disk, and of its partitions by number.
    Gpt(Uuid, BTreeMap<u32, Uuid>),
    /// Signature of the disk.
    Mbr(u32),
}

impl Ids {
    /// Makes a signature that no other disk has. It is never 0, which means that a disk has none.
    pub fn fresh_mbr() -> Ids {
        Ids::Mbr(Uuid::new_v4().as_fields().0.max(1))
    }

    /// Returns the disk's identifier: its GUID; for an MBR its signature, eight hexadecimal digits.
    pub fn of_disk(&self) -> String {
        match self {
            Ids::Gpt(disk, _) => disk.to_string(),
            Ids::Mbr(signature) => format!("{signature:08x}"),
        }
    }

    /// Returns the PARTUUID of a partition, its name in Linux.
    pub fn of(&self, region: Region) -> PartUuid {
        match self {
            Ids::Gpt(_, partitions) => PartUuid::Gpt(partitions.get(&region.number).copied().unwrap_or_default()),
            Ids::Mbr(disk) => PartUuid::Mbr { disk: *disk, number: region.number },
        }
    }
}
