//! The identifiers of a new disk, and the table that has them.

use crate::disk::new::layout::Layout;
use crate::disk::new::{gpt, mbr};
use crate::disk::table::ids::Ids;
use crate::disk::table::mbr::checked;
use crate::error::Result;
use crate::words::origin::Origin;
use crate::words::region::{Region, Run, TableKind};

impl Ids {
    /// Derives identifiers for the disk and every partition of `layout` from `origin`.
    pub fn new(layout: &Layout, origin: &Origin) -> Ids {
        match layout.table {
            TableKind::Gpt => {
                let partition = |region: Region| (region.number, origin.uuid(&format!("partition {}", region.number)));
                Ids::Gpt(origin.uuid("disk"), layout.partitions().map(partition).collect())
            }
            // Never 0, which means that a disk has no signature.
            TableKind::Mbr => Ids::Mbr(origin.uuid("disk").as_fields().0.max(1)),
        }
    }

    /// Renders the table of a disk with that layout.
    pub fn table(&self, layout: &Layout) -> Result<Vec<Run>> {
        match self {
            Ids::Gpt(disk, partitions) => gpt::table(layout, *disk, partitions),
            Ids::Mbr(disk) => checked(mbr::table(layout, *disk)?, layout.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::new::layout::{Data, LayoutRequest};
    use crate::words::units::Bytes;
    use std::collections::BTreeMap;

    #[test]
    fn an_mbr_that_no_one_could_read_is_not_written() {
        let (table, slot_sizes) = (TableKind::Mbr, BTreeMap::new());
        let request =
            LayoutRequest { size: Bytes(1 << 30), sector: 512, table, slots: 4, slot_sizes, data: Data::None };
        let layout = Layout::compute(&request).unwrap();
        assert!(Ids::Mbr(7).table(&layout).is_ok());
        let mut overlapping = layout.clone();
        overlapping.slots[1].start = overlapping.slots[0].start + (1 << 20);
        let error = format!("{:#}", Ids::Mbr(7).table(&overlapping).unwrap_err());
        assert!(error.contains("partitions 2 and 3 overlap"), "{error}");
        let mut outside = layout.clone();
        outside.slots[3].size += 1 << 30;
        let error = format!("{:#}", Ids::Mbr(7).table(&outside).unwrap_err());
        assert!(error.contains("is not within the disk"), "{error}");
    }
}
