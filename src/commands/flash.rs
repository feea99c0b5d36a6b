//! `flipslot flash`: writes an OCI image into a slot other than the running one.

use crate::boot::state::State;
use crate::boot::trial::BootedBy;
use crate::build::session::Session;
use crate::check::subject::OLDEST_GRUB;
use crate::cli::FlashArgs;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::claim::Expendable;
use crate::disk::installed::open::{Disk, booted_by};
use crate::disk::installed::state_home::StateHome;
use crate::error::{Result, refused};
use crate::forms::slot::formatted::SlotSite;
use crate::forms::slot::root_file::refuse_without_data;
use crate::forms::slot::{self, SlotJob};
use crate::jump::arrival::CONFIRMED;
use crate::jump::{leftovers, restart};
use crate::mount::scratch::Scratch;
use crate::oci;
use crate::output::document::Format;
use crate::output::plan::Plan;
use crate::output::print::print;
use crate::output::written::Written;
use crate::progress::Progress;
use crate::request::flash::FlashRequest;
use crate::request::images::SlotImage;
use crate::words::location::SlotLocation;
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
    let progress = Progress::new(args.image.fetch.progress);
    oci::trust::bundle_if_none()?;
    let target: Slot = args.slot.parse()?;
    let disk = StateHome::find(args.disk.as_deref(), Access::of(args.dry_run))?.disk()?;
    if !args.dry_run {
        leftovers::remove(&disk)?;
    }
    refuse_during_trial(&disk)?;
    let request = FlashRequest::of(args, target, &disk)?;
    let session = Session { scratch: &Scratch::enter()?, progress: &progress };
    slot::refuse_unable(&request.how, &[target], session)?;
    refuse_without_data(request.how.root, disk.data().is_some())?;
    let mut state = disk.state()?;
    if args.promote {
        refuse_unconfirmed(&disk)?;
        state = state.promoted(disk.running()?);
    }
    let claimed = Expendable::claim(&disk, target, state)?;
    if args.promote {
        warn_of_promotion(disk.running()?);
    }
    let one = look_up(&disk, &claimed, &request, session)?;
    if args.dry_run {
        return print(&preview(&disk, &request, &one, state)?, Format::of(args.image.fetch.json));
    }
    let names = disk.partition_names(target)?;
    let site = SlotSite { location: one.location, names, grub: OLDEST_GRUB, origin: Origin::Fresh, data: disk.data() };
    let job = SlotJob { image: &one.image, request: &request.how, carry_over: request.carry_over.as_ref() };
    let vacant = claimed.vacant()?;
    disk.repair_state_block()?;
    if let Some(flashing) = state.flashing(target) {
        disk.files.write_state(flashing)?;
    }
    disk.files.withdraw(target)?; // from here on nothing points at it
    let sealed = slot::make_bootable(vacant, site, job, session)?.seal(job, session)?;
    disk.files.publish(target, &sealed.sealed)?; // now it can be chosen
    let written = Written::new(&disk.path, disk.size, vec![sealed.result(&one)], progress.phases());
    print(&written.took(begin.elapsed()), Format::of(args.image.fetch.json))
}

/// Returns what the flash would do.
fn preview(disk: &Disk, request: &FlashRequest, one: &SlotImage, state: State) -> Result<Plan> {
    let carried = request.carry_over.as_ref().map(|keep| keep.patterns().join(" ")).unwrap_or_default();
    let carried = if carried.is_empty() { "nothing" } else { &carried };
    let next = state.flashing(request.slot).unwrap_or(state).next_boot();
    let filesystem = |slot| request.how.filesystem(slot);
    Ok(Plan::of_slots("flash", disk, std::slice::from_ref(one), filesystem)?
        .noting(format!("carried over: {carried}"))
        .noting(format!("slot {} stays the fallback; slot {next} boots next until you switch", state.proven)))
}

/// Looks up the image for the claimed slot. Refuses one that cannot fit.
fn look_up(disk: &Disk, claimed: &Expendable, request: &FlashRequest, session: Session) -> Result<SlotImage> {
    let _step = session.progress.step(None, "looking up the image", None);
    let idle = claimed.idle();
    let (slot, region, partuuid, table) = (request.slot, idle.region, idle.partuuid, disk.table.kind);
    let location = SlotLocation { slot, region, partuuid, table };
    let one = SlotImage::resolve(location, &request.reference, &request.how)?;
    request.how.older.refuse(&one.image, disk)?;
    Ok(one)
}

/// Prints what `--promote` gives up.
fn warn_of_promotion(running: Slot) {
    let lost = match booted_by() {
        Some(BootedBy::Kexec) => {
            ", though it has not come up from the firmware yet: if it cannot, no other slot is proven"
        }
        _ => "",
    };
    crate::stderr!("flipslot: slot {running} becomes the fallback{lost}");
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
