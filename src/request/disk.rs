//! The disk that `create` is to make: config file and flags, joined and checked before anything is read or
//! written.

use crate::cli::CreateArgs;
use crate::disk::new::layout::{Data, Layout, LayoutRequest};
use crate::disk::new::target::{Existing, geometry_of};
use crate::disk::which::fingerprint::Fingerprint;
use crate::error::{Result, usage};
use crate::oci::registries::Conf;
use crate::oci::{Caching, Image, Reference};
use crate::publish::artifact::{Artifact, Sidecars};
use crate::request::by_slot;
use crate::request::config::Config;
use crate::request::consent::Consent;
use crate::request::slot::{SlotFlags, SlotRequest};
use crate::words::origin::Origin;
use crate::words::region::Geometry;
use crate::words::slot::Slot;
use rustix::process::geteuid;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A disk to make.
pub struct DiskRequest {
    /// Size, table, slots and data partition.
    pub layout: LayoutRequest,
    /// Images for the slots, and how they boot.
    pub fill: FillRequest,
    /// Consent to overwrite what is there.
    pub consent: Consent,
    /// The file at the disk's path in the end, and the files beside it.
    pub artifact: Artifact,
    is_device: bool,
}

/// Images for slots, and how they boot.
pub struct FillRequest {
    /// Image for each slot that gets one.
    pub images: BTreeMap<Slot, Reference>,
    /// Request for how each slot is made and boots.
    pub slot: SlotRequest,
}

impl FillRequest {
    /// Joins the flags with the config file that they name; a flag wins. `disk` is the target, if it is a
    /// device of this machine.
    pub fn of(args: &CreateArgs, disk: Option<&Path>) -> Result<FillRequest> {
        FillRequest::joined(args, &config(args)?, disk)
    }

    fn joined(args: &CreateArgs, config: &Config, disk: Option<&Path>) -> Result<FillRequest> {
        let mut slot = SlotRequest::of(SlotFlags { image: &args.image, write: &args.write }, config, None, disk)?;
        if slot.access.cache == Caching::Off && !args.image.fetch.no_cache && config.no_cache != Some(true) {
            slot.access.cache = Caching::Default(default_cache());
        }
        Ok(FillRequest { images: images(args, config)?, slot })
    }

    /// Returns the slots that get an image, in order.
    pub fn slots(&self) -> Vec<Slot> {
        self.images.keys().copied().collect()
    }

    /// Refuses `--sidecars` for a disk that is rewritten in place.
    pub fn refuse_sidecars(&self, args: &CreateArgs) -> Result<()> {
        if !args.sidecars {
            return Ok(());
        }
        let found = "--keep-data rewrites a disk in place, and nothing is written beside it";
        Err(usage(found, "omit --sidecars"))
    }
}

fn config(args: &CreateArgs) -> Result<Config> {
    Config::of(&args.image)
}

impl DiskRequest {
    /// Joins the flags with the config file that they name; a flag wins. `planned` is the fingerprint in a plan.
    pub fn of(args: &CreateArgs, planned: Option<&Option<Fingerprint>>) -> Result<DiskRequest> {
        let config = config(args)?;
        let fill = FillRequest::joined(args, &config, device(args.disk()))?;
        let last = fill.images.keys().next_back().map_or(0, |slot| slot.index() + 1);
        let size = args.size.as_ref().or(config.size.as_ref()).map(|size| size.parse()).transpose()?;
        let Geometry { size, sector } = geometry_of(args.disk(), size, args.sector_size.or(config.sector_size))?;
        Origin::of_environment(&[])?; // refuses an invalid SOURCE_DATE_EPOCH
        if device(args.disk()).is_none() && !args.consent.expect_serial.is_empty() {
            let found = format!("{} is a disk file, which has no serial number", args.disk().display());
            return Err(usage(found, "omit --expect-serial"));
        }
        let consent = Consent::given(&args.consent, planned)?;
        let existing = if consent.replaces() { Existing::Replace } else { Existing::Refuse };
        Ok(DiskRequest {
            layout: LayoutRequest {
                size,
                sector,
                table: args.table.or(config.table).unwrap_or_default(),
                slots: args.slots.or(config.slots).unwrap_or_else(|| last.max(2)),
                slot_sizes: by_slot::joined(&args.slot_size, config.slot_size.as_ref(), str::parse, |size| {
                    size.parse()
                })?,
                data: if args.data || config.data == Some(true) { Data::Rest } else { Data::None },
            },
            fill,
            consent,
            is_device: device(args.disk()).is_some(),
            artifact: Artifact::of(args.disk(), sidecars(args, &config)?, existing)?,
        })
    }

    /// Returns the size of the disk and of its sectors.
    pub fn geometry(&self) -> Geometry {
        Geometry { size: self.layout.size, sector: self.layout.sector }
    }

    /// Returns the origin of this disk's identifiers and times. A device is one machine's own disk, and gets
    /// fresh ones whatever the environment says.
    pub fn origin(&self, layout: &Layout, images: &[(Slot, Image)]) -> Result<Origin> {
        if self.is_device {
            return Ok(Origin::Fresh);
        }
        let request = &self.fill.slot;
        let SlotRequest { hardware, mkfs_options, consoles, kargs, .. } = request;
        let mut inputs = vec![format!("{layout:?}"), format!("{mkfs_options:?}"), hardware.clone(), kargs.clone()];
        inputs.extend(consoles.iter().cloned());
        let of_slot = |(slot, image): &(Slot, Image)| format!("{slot} {} {}", image.digest, request.filesystem(*slot));
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

/// Returns the folder that keeps what `create` fetched: below the user's cache if the environment names one (XDG Base
/// Directory Specification), else the system's (file-hierarchy(7)).
fn default_cache() -> PathBuf {
    let user = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    // Under sudo(8), it may be another user's.
    let is_own = |folder: &PathBuf| folder.metadata().is_ok_and(|found| found.uid() == geteuid().as_raw());
    user.filter(is_own).unwrap_or_else(|| PathBuf::from("/var/cache")).join("flipslot/blobs")
}

/// Returns the path of the disk, if it is a device of this machine.
fn device(disk: &Path) -> Option<&Path> {
    let is_device = disk.metadata().is_ok_and(|meta| meta.file_type().is_block_device());
    is_device.then_some(disk)
}

fn images(args: &CreateArgs, config: &Config) -> Result<BTreeMap<Slot, Reference>> {
    let known = Conf::find()?;
    let mut images = BTreeMap::new();
    for (slot, reference) in &config.slot {
        images.insert(slot.parse()?, known.reference(reference)?);
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
        images.insert(slot, known.reference(reference)?);
    }
    if images.is_empty() {
        return Err(usage("no slot gets an image", "write --slot a=docker://host/name:tag"));
    }
    Ok(images)
}
