//! Where a slot is, and what can be there.

use crate::disk::Region;
use crate::disk::gpt::Guids;
use crate::error::{Result, refused};
use crate::filesystem::Filesystem;
use crate::oci::Image;
use crate::slot::Slot;
use crate::units::Bytes;
use uuid::Uuid;

/// Where a slot is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its name.
    pub slot: Slot,
    /// Its partition.
    pub region: Region,
    /// Its partition's GUID.
    pub partuuid: Uuid,
}

impl Place {
    /// The place of `slot` in its partition.
    pub fn new(slot: Slot, region: Region, guids: &Guids) -> Place {
        Place { slot, region, partuuid: guids.of(region) }
    }

    /// Refuses a partition that is too small for a filesystem of that kind.
    pub fn refuse_too_small_for(&self, filesystem: Filesystem) -> Result<()> {
        let smallest = filesystem.kind().smallest;
        if self.region.size < smallest.0 {
            let found = format!(
                "slot {} has {}; {filesystem} cannot be made in less than {smallest}",
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

    /// Fails if an image cannot fit: what is stored is hardly ever larger than what it unpacks to.
    pub fn refuse_larger(&self, image: &Image) -> Result<()> {
        if image.stored_bytes() > self.region.size {
            let found = format!(
                "{} has layers of {}, slot {} has {}",
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
