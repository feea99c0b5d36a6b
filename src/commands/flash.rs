//! `flipslot flash`: writes an OCI image into a slot other than the running one.

use crate::boot::trial::BootedBy;
use crate::build::fill::Site;
use crate::check::subject::OLDEST_GRUB;
use crate::cli::FlashArgs;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::claim::Expendable;
use crate::disk::installed::open::{Disk, booted_by};
use crate::error::{Result, refused};
use crate::jump::arrival::CONFIRMED;
use crate::jump::{leftovers, restart};
use crate::mount::loop_device::Loop;
use crate::mount::scratch::Scratch;
use crate::oci;
use crate::output::written::{Format, Written};
use crate::progress::Progress;
use crate::request::flash::FlashWish;
use crate::request::location::Place;
use crate::words::origin::Origin;
use crate::words::slot::Slot;
use std::path::Path;
use std::time::Instant;

/// Writes an image into a slot that is not in use.
///
/// Nothing points at that slot until the last step: a power cut at any line costs what was being written,
/// never the slot that boots.
pub fn run(args: &FlashArgs) -> Result<()> {
    let begin = Instant::now();
    let progress = Progress::new(args.image.progress);
    oci::trust::bundle_if_none()?;
    let target: Slot = args.slot.parse()?;
    let disk = Disk::open(args.disk.as_deref(), if args.dry_run { Access::Look } else { Access::Change })?;
    if !args.dry_run {
        leftovers::remove(&disk)?;
    }
    refuse_during_trial(&disk)?;
    let wish = FlashWish::of(args, target, &disk)?;
    let scratch = Scratch::enter()?;
    Loop::refuse_if_none()?;
    wish.how.refuse_unable(&[wish.slot])?;
    let mut state = disk.state()?;
    if args.promote {
        refuse_unconfirmed(&disk)?;
        state = state.promoted(disk.running()?);
    }
    let slot = Expendable::claim(&disk, wish.slot, state)?;
    if args.promote {
        tell_promotion(disk.running()?);
    }
    let idle = slot.idle();
    let place = Place { slot: wish.slot, region: idle.region, partuuid: idle.partuuid, table: disk.table.kind };
    let step = progress.step(None, "looking up the image", None);
    let image = place.resolve(&wish.reference, &wish.how)?;
    drop(step);
    if args.dry_run {
        return wish.plan(&disk, &(place, image), state)?.print(args.image.json);
    }
    let site = Site { place, surroundings: disk.surroundings(wish.slot)?, grub: OLDEST_GRUB, origin: Origin::Fresh };
    let vacant = slot.vacant()?;
    disk.mend()?;
    if let Some(flashing) = state.flashing(wish.slot) {
        disk.files.write_state(flashing)?;
    }
    disk.files.withdraw(wish.slot)?; // from here on nothing points at it
    let mut filled = site.filled(&scratch, (vacant, &image), &wish.how, &progress)?;
    let carried = wish.keep.map(|keep| filled.carry(&keep)).transpose()?.unwrap_or_default();
    let entry = filled.entry(&scratch, &wish.how, &progress)?;
    let sealed = filled.seal(&image, entry, &wish.how.hardware, &progress)?;
    disk.files.publish(wish.slot, &sealed.record)?; // now it can be chosen
    let format = if args.image.json { Format::Json } else { Format::Text };
    Written::new((&disk.path, disk.size), &[(place, image)], vec![sealed], (progress.phases(), begin.elapsed()))
        .carrying(carried)
        .print(format)
}

/// Prints what `--promote` gives up.
fn tell_promotion(running: Slot) {
    let lost = match booted_by() {
        Some(BootedBy::Kexec) => {
            ", though it has not come up from the firmware yet: if it cannot, no other slot is proven"
        }
        _ => "",
    };
    crate::tell!("flipslot: slot {running} becomes the fallback{lost}");
}

/// Refuses a flash during a trial or a shutdown: it holds the disk for minutes, in which a trial could not be
/// confirmed, and a system that is shutting down could not end it.
fn refuse_during_trial(disk: &Disk) -> Result<()> {
    if disk.running.is_some() && restart::is_stopping() {
        return Err(refused("this system is shutting down", "run the command again after the restart"));
    }
    if disk.running.is_some() && disk.trial()?.is_some() && !Path::new(CONFIRMED).exists() {
        return Err(refused(
            "this boot is a trial that is not confirmed yet: a flash would keep its health check waiting",
            "wait for the health check (flipslot status), or confirm it: flipslot confirm",
        ));
    }
    Ok(())
}

/// Refuses to make a running slot the fallback before it has shown that it works.
fn refuse_unconfirmed(disk: &Disk) -> Result<()> {
    let running = disk.running()?;
    let is_trial = booted_by().is_none_or(BootedBy::is_trial);
    if is_trial && !Path::new(CONFIRMED).exists() {
        return Err(refused(
            format!("slot {running} is on trial and not confirmed: it cannot become the fallback"),
            "confirm it first: flipslot confirm",
        ));
    }
    Ok(())
}
