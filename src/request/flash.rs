//! The request to `flash`: flags, config file, and the slots that are there.

use crate::boot::state::State;
use crate::cli::FlashArgs;
use crate::disk::installed::open::Disk;
use crate::error::{Result, refused};
use crate::oci::{Image, Reference};
use crate::output::plan::Plan;
use crate::request::config::Config;
use crate::request::location::Place;
use crate::request::slot::{Like, SlotWish, listed};
use crate::root::carry_over::Keep;
use crate::words::slot::Slot;

/// A request to write an image into one slot.
pub struct FlashWish {
    /// Slot to write.
    pub slot: Slot,
    /// Image to write into the slot.
    pub reference: Reference,
    /// Request for how the slot is made and boots.
    pub how: SlotWish,
    /// Files to carry over from the running slot; `None` where nothing runs from the disk.
    pub keep: Option<Keep>,
}

impl FlashWish {
    /// Joins the flags with the config file. Options that neither gives are those of the running slot, or of
    /// the proven one if nothing runs from the disk.
    pub fn of(args: &FlashArgs, slot: Slot, disk: &Disk) -> Result<FlashWish> {
        let config = args.image.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
        let like = disk.files.holding(disk.running.unwrap_or(disk.state()?.proven))?.record().cloned();
        let runs = disk.running.is_some();
        let like = like.map(|record| Like { record, runs });
        let keep = listed(&args.keep, config.keep.as_ref());
        let keep = match (disk.running, keep) {
            (Some(_), keep) => Some(Keep::new(keep)?),
            // The files of this system are not those of the disk's machine.
            (None, Some(listed)) if listed != ["none"] => {
                let found = format!("nothing runs from {}, so no file can be carried over", disk.path.display());
                return Err(refused(found, "omit --keep, or write --keep none"));
            }
            (None, listed) => listed.map(|none| Keep::new(Some(none))).transpose()?,
        };
        Ok(FlashWish {
            slot,
            reference: args.reference.parse()?,
            how: SlotWish::of((&args.image, &args.write), &config, like.as_ref(), disk.device())?,
            keep,
        })
    }

    /// Returns the plan of what the flash would do.
    pub fn plan(&self, disk: &Disk, image: &(Place, Image), state: State) -> Result<Plan> {
        let carried = self.keep.as_ref().map(|keep| keep.patterns().join(" ")).unwrap_or_default();
        let carried = if carried.is_empty() { "nothing" } else { &carried };
        let next = state.flashing(self.slot).unwrap_or(state).next_boot();
        Ok(Plan::of_slots("flash", disk, std::slice::from_ref(image), |slot| self.how.filesystem(slot))?
            .noting(format!("carried over: {carried}"))
            .noting(format!("slot {} stays the fallback; slot {next} boots next until you switch", state.proven)))
    }
}
