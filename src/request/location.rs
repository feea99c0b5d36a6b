//! The place of a slot, and what fits into it.

use crate::disk::table::read::Ids;
use crate::error::{Result, refused};
use crate::filesystem::kind::Filesystem;
use crate::oci;
use crate::oci::{Image, Reference};
use crate::request::slot::SlotWish;
use crate::words::partuuid::PartUuid;
use crate::words::region::{Region, TableKind};
use crate::words::slot::Slot;
use crate::words::units::Bytes;
use anyhow::Context;

/// A slot and its partition.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Name of the slot.
    pub slot: Slot,
    /// Partition of the slot.
    pub region: Region,
    /// PARTUUID of the partition, by which Linux finds it.
    pub partuuid: PartUuid,
    /// Kind of the disk's partition table.
    pub table: TableKind,
}

impl Place {
    /// Creates the place of `slot` in the partition `region`.
    pub fn new(slot: Slot, region: Region, (table, ids): (TableKind, &Ids)) -> Place {
        Place { slot, region, partuuid: ids.of(region), table }
    }

    /// Refuses a partition that is too small for a filesystem of this kind.
    fn refuse_too_small_for(&self, filesystem: Filesystem) -> Result<()> {
        let smallest = filesystem.kind().smallest;
        if self.region.size < smallest.0 {
            let found = format!(
                "slot {} has {}, but {filesystem} needs at least {smallest}",
                self.slot,
                Bytes(self.region.size)
            );
            return Err(refused(
                found,
                format!("give the slots a larger --slot-size, or choose --filesystem {}=ext4", self.slot),
            ));
        }
        Ok(())
    }

    /// Looks up an image for this place, which from here on is identified by its digest. Refuses one that
    /// cannot fit.
    pub fn resolve(&self, reference: &Reference, wanted: &SlotWish) -> Result<Image> {
        let image = oci::resolve(reference, &wanted.platform, &wanted.access);
        let image = image.with_context(|| format!("slot {}", self.slot))?;
        self.refuse_unfit(&image, wanted.filesystem(self.slot))?;
        Ok(image)
    }

    /// Refuses an image, and a filesystem, that cannot fit into this place.
    pub fn refuse_unfit(&self, image: &Image, filesystem: Filesystem) -> Result<()> {
        self.refuse_too_small_for(filesystem)?;
        self.refuse_larger(image)
    }

    /// Refuses an image that cannot fit: its stored size is hardly ever larger than what it unpacks to.
    fn refuse_larger(&self, image: &Image) -> Result<()> {
        if image.stored_bytes() > self.region.size {
            let found = format!(
                "{} has layers of {}, but slot {} has {}",
                image.reference,
                Bytes(image.stored_bytes()),
                self.slot,
                Bytes(self.region.size)
            );
            return Err(refused(found, "give the slots a larger --slot-size, or the disk a larger --size"));
        }
        Ok(())
    }
}
