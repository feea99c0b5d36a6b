//! The partitions of a disk with slots.

use crate::error::{Result, refused};
use crate::words::partuuid::PartUuid;
use crate::words::region::{Region, TableKind};
use crate::words::slot::Slot;
use std::collections::BTreeMap;

/// The partitions of a disk that flipslot made.
#[derive(Debug, Clone)]
pub struct Table {
    /// Kind of partition table.
    pub kind: TableKind,
    /// Size of a logical sector in bytes.
    pub sector: u64,
    /// Region of the boot partition.
    pub boot: Region,
    /// The slots, each with its region and PARTUUID.
    pub slots: BTreeMap<Slot, (Region, PartUuid)>,
    /// Number of the data partition, if there is one. An MBR does not name it: it is the first one for Linux
    /// behind the slots.
    pub data: Option<u32>,
    /// Partitions that are not slots: boot, data, and those that others made; each with its name, which is
    /// empty in an MBR, and its PARTUUID.
    pub shared: Vec<(Region, String, PartUuid)>,
}

impl Table {
    /// Takes the slots of an MBR from the boot partition, because an MBR has no names; a GPT stays as it is.
    /// Refuses a partition that is not where it was made: anything may be there now.
    pub fn with_slots(mut self, places: Option<BTreeMap<Slot, Region>>) -> Result<Table> {
        if self.kind == TableKind::Gpt {
            return Ok(self);
        }
        let mut found: Vec<_> = std::mem::take(&mut self.slots).into_values().collect();
        for (slot, place) in places.unwrap_or_default() {
            let at = found.iter().position(|(region, _)| *region == place).ok_or_else(|| {
                let found = format!("slot {slot} was made as partition {}, which is gone or has changed", place.number);
                refused(found, "repair the partition table: sfdisk; or make the disk again: flipslot create")
            })?;
            self.slots.insert(slot, found.remove(at));
        }
        let last = self.slots.values().map(|(region, _)| region.number).max().unwrap_or(0);
        self.data = found.iter().map(|(region, _)| region.number).filter(|number| *number > last).min();
        self.shared.extend(found.into_iter().map(|(region, partuuid)| (region, String::new(), partuuid)));
        Ok(self)
    }
}
