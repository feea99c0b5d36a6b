//! The request to `flash`: flags, config file, and the slots that are there.

use crate::cli::FlashArgs;
use crate::disk::installed::open::Disk;
use crate::error::{Result, refused};
use crate::oci::Reference;
use crate::oci::registries::Conf;
use crate::request::config::Config;
use crate::request::slot::{ModelSlot, SlotFlags, SlotRequest, listed};
use crate::root::carry_over::CarryOver;
use crate::words::slot::Slot;

/// A request to write an image into one slot.
pub struct FlashRequest {
    /// Slot to write.
    pub slot: Slot,
    /// Image to write into the slot.
    pub reference: Reference,
    /// Request for how the slot is made and boots.
    pub how: SlotRequest,
    /// Files to carry over from the running slot; `None` where nothing runs from the disk.
    pub carry_over: Option<CarryOver>,
}

impl FlashRequest {
    /// Joins the flags with the config file. Options that neither gives are those of the running slot, or of
    /// the proven one if nothing runs from the disk.
    pub fn of(args: &FlashArgs, slot: Slot, disk: &Disk) -> Result<FlashRequest> {
        let config = Config::of(&args.image)?;
        let model = disk.files.holding(disk.running.unwrap_or(disk.state()?.proven))?.record().cloned();
        let runs = disk.running.is_some();
        let model = model.map(|record| ModelSlot { record, runs });
        let keep = listed(&args.keep, config.keep.as_ref());
        let keep = match (disk.running, keep) {
            (Some(_), keep) => Some(CarryOver::new(keep)?),
            // The files of this system are not those of the disk's machine.
            (None, Some(listed)) if listed != ["none"] => {
                let found = format!("nothing runs from {}, so no file can be carried over", disk.path.display());
                return Err(refused(found, "omit --keep, or write --keep none"));
            }
            (None, listed) => listed.map(|none| CarryOver::new(Some(none))).transpose()?,
        };
        let flags = SlotFlags { image: &args.image, write: &args.write };
        Ok(FlashRequest {
            slot,
            reference: Conf::find()?.reference(&args.reference)?,
            how: SlotRequest::of(flags, &config, model.as_ref(), disk.device())?,
            carry_over: keep,
        })
    }
}
