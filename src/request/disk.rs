//! The disk that `create` is to make: config file and flags, joined and checked before anything is read or
//! written.

use crate::cli::CreateArgs;
use crate::disk::new::layout::{Data, Layout, Wish};
use crate::disk::new::target::{Existing, size_of};
use crate::error::{Result, usage};
use crate::oci::{Image, Reference};
use crate::output::plan::Plan;
use crate::publish::artifact::{Artifact, Sidecars};
use crate::request::by_slot;
use crate::request::config::Config;
use crate::request::consent::Consent;
use crate::request::slot::SlotWish;
use crate::words::origin::Origin;
use crate::words::slot::Slot;
use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// A disk to make.
pub struct Definition {
    /// Size, table, slots and data partition.
    pub wish: Wish,
    /// Images for the slots, and how they boot.
    pub filling: Filling,
    /// Consent to overwrite what is there.
    pub consent: Consent,
    /// The file at the disk's path in the end, and the files beside it.
    pub artifact: Artifact,
    is_device: bool,
}

/// Images for slots, and how they boot.
pub struct Filling {
    /// Image for each slot that gets one.
    pub images: BTreeMap<Slot, Reference>,
    /// Request for how each slot is made and boots.
    pub slot: SlotWish,
}

impl Filling {
    /// Joins the flags with the config file that they name; a flag wins. `disk` is the target, if it is a
    /// device of this machine.
    pub fn of(args: &CreateArgs, disk: Option<&Path>) -> Result<Filling> {
        Filling::joined(args, &config(args)?, disk)
    }

    fn joined(args: &CreateArgs, config: &Config, disk: Option<&Path>) -> Result<Filling> {
        let slot = SlotWish::of((&args.image, &args.write), config, None, disk)?;
        Ok(Filling { images: images(args, config)?, slot })
    }
}

fn config(args: &CreateArgs) -> Result<Config> {
    Ok(args.image.config.as_deref().map(Config::read).transpose()?.unwrap_or_default())
}

impl Definition {
    /// Joins the flags with the config file that they name; a flag wins.
    pub fn of(args: &CreateArgs, plan: Option<&Plan>) -> Result<Definition> {
        let config = config(args)?;
        let filling = Filling::joined(args, &config, device(args.disk()))?;
        let last = filling.images.keys().next_back().map_or(0, |slot| slot.index() + 1);
        let size = args.size.as_ref().or(config.size.as_ref()).map(|size| size.parse()).transpose()?;
        let (size, sector) = size_of(args.disk(), size, args.sector_size.or(config.sector_size))?;
        Origin::of_environment(&[])?; // refuses an invalid SOURCE_DATE_EPOCH
        if device(args.disk()).is_none() && !args.consent.expect_serial.is_empty() {
            let found = format!("{} is a disk file, which has no serial number", args.disk().display());
            return Err(usage(found, "omit --expect-serial"));
        }
        let consent = Consent::given(&args.consent, plan)?;
        let existing = if consent.replaces() { Existing::Replace } else { Existing::Keep };
        Ok(Definition {
            wish: Wish {
                size,
                sector,
                table: args.table.or(config.table).unwrap_or_default(),
                slots: args.slots.or(config.slots).unwrap_or_else(|| last.max(2)),
                slot_sizes: by_slot::joined(
                    &args.slot_size,
                    config.slot_size.as_ref(),
                    (str::parse, |size| size.parse()),
                )?,
                data: if args.data || config.data == Some(true) { Data::Rest } else { Data::None },
            },
            filling,
            consent,
            is_device: device(args.disk()).is_some(),
            artifact: Artifact::of(args.disk(), sidecars(args, &config)?, existing)?,
        })
    }

    /// Returns the origin of this disk's identifiers and times. A device is one machine's own disk, and gets
    /// fresh ones whatever the environment says.
    pub fn origin(&self, layout: &Layout, images: &[(Slot, Image)]) -> Result<Origin> {
        if self.is_device {
            return Ok(Origin::Fresh);
        }
        let wanted = &self.filling.slot;
        let SlotWish { hardware, mkfs_options, consoles, kargs, .. } = wanted;
        let mut inputs = vec![format!("{layout:?}"), format!("{mkfs_options:?}"), hardware.clone(), kargs.clone()];
        inputs.extend(consoles.iter().cloned());
        let of_slot = |(slot, image): &(Slot, Image)| format!("{slot} {} {}", image.digest, wanted.filesystem(*slot));
        inputs.extend(images.iter().map(of_slot));
        Origin::of_environment(&inputs)
    }
}

/// Returns whether files are written beside the disk; refuses them for a device, which has no place beside
/// it.
fn sidecars(args: &CreateArgs, config: &Config) -> Result<Sidecars> {
    match args.sidecars || config.sidecars == Some(true) {
        true if device(args.disk()).is_some() => {
            let found = format!("{} is a device: no files can be written beside it", args.disk().display());
            Err(usage(found, "omit --sidecars, or name a disk file"))
        }
        true => Ok(Sidecars::Beside),
        false => Ok(Sidecars::None),
    }
}

/// Returns the path of the disk, if it is a device of this machine.
fn device(disk: &Path) -> Option<&Path> {
    let is_device = disk.metadata().is_ok_and(|meta| meta.file_type().is_block_device());
    is_device.then_some(disk)
}

fn images(args: &CreateArgs, config: &Config) -> Result<BTreeMap<Slot, Reference>> {
    let mut images = BTreeMap::new();
    for (slot, reference) in &config.slot {
        images.insert(slot.parse()?, reference.parse()?);
    }
    let mut named = Vec::new();
    for text in &args.slot {
        let (slot, reference) = text
            .split_once('=')
            .ok_or_else(|| usage(format!("--slot '{text}' names no slot"), "write --slot a=docker://host/name:tag"))?;
        let slot: Slot = slot.parse()?;
        if named.contains(&slot) {
            return Err(usage(format!("--slot {slot} is given twice"), "give each slot one image"));
        }
        named.push(slot);
        images.insert(slot, reference.parse()?);
    }
    if images.is_empty() {
        return Err(usage("no slot gets an image", "write --slot a=docker://host/name:tag"));
    }
    Ok(images)
}
