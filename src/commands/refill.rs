//! `flipslot create --keep-data`: images into slots of a disk that flipslot has made before. Its table,
//! its data, its GRUB and the slots that are not named stay as they are.

use crate::boot::state::State;
use crate::check::subject::OLDEST_GRUB;
use crate::cli::CreateArgs;
use crate::commands::definition::Filling;
use crate::commands::fill::Site;
use crate::commands::place::Place;
use crate::commands::plan::Plan;
use crate::commands::written::{Format, Written};
use crate::commands::{consent, planned};
use crate::disk::Disk;
use crate::disk::boot_files::Holding;
use crate::disk::boot_partition::Access;
use crate::disk::claim::Expendable;
use crate::disk::fingerprint::Fingerprint;
use crate::disk::loops::Loop;
use crate::disk::mount::Scratch;
use crate::disk::whole;
use crate::error::{Result, refused};
use crate::oci;
use crate::origin::Origin;
use crate::progress::Progress;
use crate::slot::Slot;
use anyhow::Context;
use std::time::Instant;

/// Writes the slots that are named. Before one is written nothing points at it; a slot that is not named
/// is what the disk boots meanwhile, if it has one.
pub fn run(args: &CreateArgs, plan: Option<&Plan>) -> Result<()> {
    let begin = Instant::now();
    let progress = Progress::new(args.image.progress);
    oci::trust::bundle_if_none()?;
    let disk = Disk::open(Some(args.disk()), if args.dry_run { Access::Look } else { Access::Change })?;
    refuse_running(&disk)?;
    let wanted = Filling::of(args, disk.device())?;
    let scratch = Scratch::enter()?;
    Loop::refuse_if_none()?;
    wanted.slot.refuse_unable(&wanted.images.keys().copied().collect::<Vec<_>>())?;
    let slots = claim(&disk, &wanted, args.consent.yes || args.dry_run || plan.is_some())?;
    let images = resolve(&wanted, &slots, &disk, &progress)?;
    let now = Plan::of_slots("create", &disk, &images, |slot| wanted.slot.filesystem(slot))?;
    if args.dry_run {
        return now.by(planned::arguments(), Some(fingerprint(&disk)?))?.print(args.image.json);
    }
    if let Some(plan) = plan {
        plan.refuse_other(&now)?;
        consent::refuse_unplanned(args.disk(), &Some(fingerprint(&disk)?), &plan.how()?.fingerprint)?;
    }
    if let Some(keeper) = keeper(&disk, &wanted)? {
        disk.files.write_state(State::first(keeper))?; // what boots until the end
    }
    let mut sealed = Vec::new();
    for ((place, image), slot) in images.iter().zip(&slots) {
        let doing = || format!("slot {}", place.slot);
        let site = Site {
            place: *place,
            surroundings: disk.surroundings(place.slot)?,
            grub: OLDEST_GRUB,
            origin: Origin::Fresh,
        };
        let vacant = slot.vacant()?;
        disk.files.withdraw(place.slot)?; // from here on nothing points at it
        let mut filled = site.filled(&scratch, (vacant, image), &wanted.slot, &progress).with_context(doing)?;
        let entry = filled.entry(&scratch, &wanted.slot, &progress).with_context(doing)?;
        let done = filled.seal(image, entry, &wanted.slot.hardware, &progress).with_context(doing)?;
        disk.files.publish(place.slot, &done.record)?;
        sealed.push(done);
    }
    let first = images.first().context("no slot was filled")?.0.slot;
    disk.files.write_state(State::first(first))?; // now it boots that one
    let format = if args.image.json { Format::Json } else { Format::Text };
    Written::new((args.disk(), disk.size), &images, sealed, (progress.phases(), begin.elapsed())).print(format)
}

/// What must be the same for a plan.
fn fingerprint(disk: &Disk) -> Result<Fingerprint> {
    let of_file = || Fingerprint::of_file(&disk.path)?.context("the disk file is gone");
    disk.device().map_or_else(of_file, |path| Ok(whole::identity_at(path)?.fingerprint()))
}

fn refuse_running(disk: &Disk) -> Result<()> {
    match disk.running {
        Some(slot) => Err(refused(
            format!("this system runs from slot {slot} of {}", disk.path.display()),
            "write its other slot: flipslot flash REFERENCE --slot SLOT",
        )),
        None => Ok(()),
    }
}

/// Claims the slots that are named, in their order.
fn claim(disk: &Disk, wanted: &Filling, yes: bool) -> Result<Vec<Expendable>> {
    let mut claimed = Vec::new();
    for slot in wanted.images.keys() {
        claimed.push(Expendable::claim_any(disk, *slot)?);
        if let (Holding::Image(record), false) = (disk.files.holding(*slot)?, yes) {
            let found = format!("slot {slot} of {} holds {}", disk.path.display(), record.entry.title);
            return Err(refused(found, "replace it with --yes, or leave that slot away"));
        }
    }
    Ok(claimed)
}

/// Looks up every image, and refuses those that cannot fit.
fn resolve(
    wanted: &Filling,
    slots: &[Expendable],
    disk: &Disk,
    progress: &Progress,
) -> Result<Vec<(Place, oci::Image)>> {
    let _step = progress.step(None, "looking up images", None);
    let mut images = Vec::new();
    for ((slot, reference), claimed) in wanted.images.iter().zip(slots) {
        let (region, partuuid) = (claimed.idle().region, claimed.idle().partuuid);
        let place = Place { slot: *slot, region, partuuid, table: disk.table.kind };
        images.push((place, place.resolve(reference, &wanted.slot)?));
    }
    Ok(images)
}

/// The slot that the disk shall boot until all are written: the proven one, or another one that holds an
/// image, of those that are not named.
fn keeper(disk: &Disk, wanted: &Filling) -> Result<Option<Slot>> {
    let proven = disk.state()?.proven;
    for slot in std::iter::once(proven).chain(disk.table.slots.keys().copied()) {
        if !wanted.images.contains_key(&slot) && disk.files.holding(slot)?.record().is_some() {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}
