//! The images that are requested for slots, looked up and compared with the slots' sizes.

use crate::error::{Result, refused};
use crate::filesystem::kind::Filesystem;
use crate::oci;
use crate::oci::{Image, Reference};
use crate::request::slot::SlotRequest;
use crate::words::location::SlotLocation;
use crate::words::units::Bytes;
use anyhow::Context;

/// An image, and the slot that it is for.
pub struct SlotImage {
    /// Location of the slot.
    pub location: SlotLocation,
    /// The image, by its digest.
    pub image: Image,
}

impl SlotImage {
    /// Looks up the image for a slot, which from here on is identified by its digest. Refuses one that cannot fit.
    pub fn resolve(location: SlotLocation, reference: &Reference, request: &SlotRequest) -> Result<SlotImage> {
        let image = oci::resolve(reference, &request.platform, &request.access);
        SlotImage::fitting(location, image.with_context(|| format!("slot {}", location.slot))?, request)
    }

    /// Refuses an image, and a filesystem, that cannot fit into the slot.
    pub fn fitting(location: SlotLocation, image: Image, request: &SlotRequest) -> Result<SlotImage> {
        refuse_too_small_for(request.filesystem(location.slot), location)?;
        refuse_larger(&image, location)?;
        Ok(SlotImage { location, image })
    }
}

/// Refuses a partition that is too small for a filesystem of this kind.
fn refuse_too_small_for(filesystem: Filesystem, location: SlotLocation) -> Result<()> {
    let SlotLocation { slot, region, .. } = location;
    let smallest = filesystem.smallest();
    if region.size >= smallest.0 {
        return Ok(());
    }
    Err(refused(
        format!("slot {slot} has {}, but {filesystem} needs at least {smallest}", Bytes(region.size)),
        format!("give the slots a larger --slot-size, or choose --filesystem {slot}=ext4"),
    ))
}

/// Refuses an image that cannot fit: its stored size is hardly ever larger than what it unpacks to.
fn refuse_larger(image: &Image, location: SlotLocation) -> Result<()> {
    let SlotLocation { slot, region, .. } = location;
    let stored = image.stored_bytes();
    if stored <= region.size {
        return Ok(());
    }
    Err(refused(
        format!("{} has layers of {}, but slot {slot} has {}", image.reference, Bytes(stored), Bytes(region.size)),
        "give the slots a larger --slot-size, or the disk a larger --size",
    ))
}
