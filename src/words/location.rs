//! The location of a slot on its disk.

use crate::words::partuuid::PartUuid;
use crate::words::region::{Region, TableKind};
use crate::words::slot::Slot;

/// A slot and its partition.
#[derive(Debug, Clone, Copy)]
pub struct SlotLocation {
    /// Name of the slot.
    pub slot: Slot,
    /// Partition of the slot.
    pub region: Region,
    /// PARTUUID of the partition, by which Linux finds it.
    pub partuuid: PartUuid,
    /// Kind of the disk's partition table.
    pub table: TableKind,
}
