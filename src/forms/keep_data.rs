//! `flipslot create --keep-data`: writes images into slots of a disk that flipslot made before. Its table,
//! its data, its GRUB and the slots that are not named stay as they are.

use crate::boot::state::State;
use crate::boot::trial::BootedBy;
use crate::build::fill::{Sealed, Site};
use crate::check::subject::OLDEST_GRUB;
use crate::cli::CreateArgs;
use crate::disk::installed::boot_files::Holding;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::claim::Expendable;
use crate::disk::installed::open::Disk;
use crate::disk::safety::members;
use crate::disk::which::fingerprint::Fingerprint;
use crate::disk::which::probe::Probe;
use crate::disk::which::whole;
use crate::error::{Result, refused, usage};
use crate::mount::loop_device::Loop;
use crate::mount::scratch::Scratch;
use crate::oci;
use crate::output::plan::Plan;
use crate::output::written::{Format, Written};
use crate::progress::Progress;
use crate::request::consent::{Consent, refuse_unplanned};
use crate::request::disk::Filling;
use crate::request::location::Place;
use crate::request::plan_file as planned;
use crate::request::slot::SlotWish;
use crate::words::origin::Origin;
use crate::words::slot::Slot;
use anyhow::Context;
use std::collections::BTreeMap;
use std::time::Instant;

/// Writes the named slots. Nothing points at a slot while it is written; in the meantime the disk boots a
/// slot that is not named, if one holds an image.
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
    refuse_sidecars(args)?;
    let consent = Consent::given(&args.consent, plan)?;
    let slots = claim(&disk, &wanted, &consent)?;
    if !args.dry_run {
        approve(&disk, &wanted, &consent)?;
    }
    let images = resolve(&wanted, &slots, &disk, &progress)?;
    let now = Plan::of_slots("create", &disk, &images, |slot| wanted.slot.filesystem(slot))?;
    if args.dry_run {
        return now.by(planned::how(args, Some(fingerprint(&disk)?))?).print(args.image.json);
    }
    if let Some(plan) = plan {
        plan.refuse_other(&now)?;
        refuse_unplanned(args.disk(), &Some(fingerprint(&disk)?), &plan.how()?.fingerprint)?;
    }
    disk.mend()?;
    let keeper = keeper(&disk, &wanted)?;
    let (meanwhile, after) = states(&disk, &wanted, keeper)?;
    disk.files.write_state(meanwhile)?; // boots until the end
    let sealed = images
        .iter()
        .zip(&slots)
        .map(|(one, slot)| fill(&disk, slot, one, (&wanted.slot, &scratch, &progress)))
        .collect::<Result<_>>()?;
    disk.files.write_state(after)?; // boots from now on
    let format = if args.image.json { Format::Json } else { Format::Text };
    Written::new((args.disk(), disk.size), &images, sealed, (progress.phases(), begin.elapsed())).print(format)
}

/// Writes an image into a slot.
fn fill(
    disk: &Disk,
    slot: &Expendable,
    (place, image): &(Place, oci::Image),
    (wanted, scratch, progress): (&SlotWish, &Scratch, &Progress),
) -> Result<Sealed> {
    let doing = || format!("slot {}", place.slot);
    let surroundings = disk.surroundings(place.slot)?;
    let site = Site { place: *place, surroundings, grub: OLDEST_GRUB, origin: Origin::Fresh };
    let vacant = slot.vacant()?;
    disk.files.withdraw(place.slot)?; // from here on nothing points at it
    let mut filled = site.filled(scratch, (vacant, image), wanted, progress).with_context(doing)?;
    let entry = filled.entry(scratch, wanted, progress).with_context(doing)?;
    let sealed = filled.seal(image, entry, &wanted.hardware, progress).with_context(doing)?;
    disk.files.publish(place.slot, &sealed.record)?; // now it can be chosen
    Ok(sealed)
}

fn refuse_sidecars(args: &CreateArgs) -> Result<()> {
    if !args.sidecars {
        return Ok(());
    }
    let found = "--keep-data rewrites a disk in place, and nothing is written beside it";
    Err(usage(found, "omit --sidecars"))
}

/// Returns the fingerprint that must equal the one in a plan.
fn fingerprint(disk: &Disk) -> Result<Fingerprint> {
    match disk.device() {
        Some(path) => Ok(whole::identity_of(&disk.file, &path.display().to_string())?.fingerprint()),
        None => Fingerprint::of_open(&disk.file),
    }
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

/// Claims the named slots, in their order. Refuses a slot that holds something else.
fn claim(disk: &Disk, wanted: &Filling, consent: &Consent) -> Result<Vec<Expendable>> {
    let claimed: Vec<Expendable> =
        wanted.images.keys().map(|slot| Expendable::claim_any(disk, *slot)).collect::<Result<_>>()?;
    for slot in &claimed {
        let found = members::find(&Probe::of(&disk.file), disk.size, &[slot.idle().region])?;
        members::refuse(&disk.path.display().to_string(), &found, consent.destroy(), &BTreeMap::new())?;
    }
    Ok(claimed)
}

/// Fails unless the user gives up what the named slots hold.
fn approve(disk: &Disk, wanted: &Filling, consent: &Consent) -> Result<()> {
    if let Some(path) = disk.device() {
        let slots: Vec<String> = wanted.images.keys().map(|slot| format!("slot {slot}")).collect();
        let lost = format!("The contents of {}", slots.join(" and "));
        return consent.approve(path, &whole::identity_of(&disk.file, &path.display().to_string())?, &lost);
    }
    for slot in wanted.images.keys() {
        let what = match disk.files.holding(*slot)? {
            Holding::Image(record) => record.entry.title,
            Holding::Damaged => "something on which its entry and its record disagree".to_owned(),
            Holding::Nothing | Holding::Half => continue,
        };
        consent.approve_file(&disk.path, &format!("slot {slot} of {} holds {what}", disk.path.display()))?;
    }
    Ok(())
}

/// Returns the state until all slots are written, and the state from then on. A proven slot that is not named
/// stays proven. If it is named, the first named slot is tried, as after a switch, if there is another slot
/// to fall back to.
fn states(disk: &Disk, wanted: &Filling, keeper: Option<Slot>) -> Result<(State, State)> {
    let now = disk.state()?;
    let first = *wanted.images.keys().next().context("no slot is named")?;
    let spared = wanted.images.keys().try_fold(now, |state, slot| state.flashing(*slot));
    Ok(match (spared, keeper) {
        (Some(spared), _) => (spared, spared),
        (None, Some(keeper)) => {
            let kept = State::first(keeper);
            (kept, kept.confirmed(first, BootedBy::Kexec))
        }
        (None, None) => (now, State::first(first)),
    })
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

/// Returns the slot that is not named and that the disk boots until all are written: the proven one, or
/// another one that holds an image.
fn keeper(disk: &Disk, wanted: &Filling) -> Result<Option<Slot>> {
    let proven = disk.state()?.proven;
    for slot in std::iter::once(proven).chain(disk.table.slots.keys().copied()) {
        if !wanted.images.contains_key(&slot) && disk.files.holding(slot)?.record().is_some() {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}
