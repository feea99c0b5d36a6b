//! `flipslot create`: OCI images in, a disk that boots out.

use crate::build::session::Session;
use crate::cli::CreateArgs;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::open::Disk;
use crate::disk::new::layout::Layout;
use crate::error::Result;
use crate::forms::disk::NewDisk;
use crate::forms::keep_data::{self, ClaimedSlots};
use crate::forms::slot;
use crate::mount::scratch::Scratch;
use crate::oci;
use crate::output::document::Format;
use crate::output::plan::Plan;
use crate::output::plan_file;
use crate::output::print::print;
use crate::output::written::Written;
use crate::progress::Progress;
use crate::request::consent::{Consent, refuse_unplanned};
use crate::request::disk::{DiskRequest, FillRequest};
use std::time::Instant;

/// Makes a disk from images, or carries out a plan.
pub fn run(args: &CreateArgs) -> Result<()> {
    let Some(file) = &args.plan else { return carry_out(args, None) };
    let (planned, plan) = plan_file::read(file, args)?;
    carry_out(&planned, Some(&plan))
}

fn carry_out(args: &CreateArgs, plan: Option<&Plan>) -> Result<()> {
    if args.keep_data { write_slots(args, plan) } else { make_disk(args, plan) }
}

/// Makes a disk from images; as `plan` says, if there is one. Whatever is there already is refused before anything
/// is written.
fn make_disk(args: &CreateArgs, plan: Option<&Plan>) -> Result<()> {
    let begin = Instant::now();
    let progress = Progress::new(args.image.fetch.progress);
    oci::trust::bundle_if_none()?;
    let format = Format::of(args.image.fetch.json);
    let request = DiskRequest::of(args, plan.map(Plan::fingerprint).transpose()?)?;
    let layout = Layout::compute(&request.layout)?;
    let session = Session { scratch: &Scratch::enter()?, progress: &progress };
    slot::refuse_unable(&request.fill.slot, &request.fill.slots(), session)?;
    request.artifact.refuse_unable()?;
    if args.dry_run {
        let (fingerprint, now) = request.consent.look(args.disk())?;
        let preview = NewDisk::plan(&request, layout, session)?.preview(args.disk(), &request.fill.slot);
        let preview = preview.noting(format!("on {} now: {now}", args.disk().display()));
        return print(&preview.by(plan_file::how(args, fingerprint)?), format);
    }
    let target = request.consent.claim(args.disk(), request.geometry())?.open()?;
    let disk = NewDisk::plan(&request, layout, session)?;
    if let Some(plan) = plan {
        plan.refuse_other(&disk.preview(args.disk(), &request.fill.slot))?;
    }
    let made = disk.make(target, &request, session)?; // from here on the target changes
    let written = Written::new(args.disk(), made.size, made.slots, progress.phases()).took(begin.elapsed());
    print(&written.with_files(made.files), format)
}

/// Writes the named slots of a disk that flipslot has made before. Its table, its data, its GRUB and the slots that
/// are not named stay as they are.
fn write_slots(args: &CreateArgs, plan: Option<&Plan>) -> Result<()> {
    let begin = Instant::now();
    let progress = Progress::new(args.image.fetch.progress);
    oci::trust::bundle_if_none()?;
    let format = Format::of(args.image.fetch.json);
    let disk = Disk::open(args.disk(), Access::of(args.dry_run))?;
    keep_data::refuse_running(&disk)?;
    let request = FillRequest::of(args, disk.device())?;
    let session = Session { scratch: &Scratch::enter()?, progress: &progress };
    slot::refuse_unable(&request.slot, &request.slots(), session)?;
    request.refuse_sidecars(args)?;
    let consent = Consent::given(&args.consent, plan.map(Plan::fingerprint).transpose()?)?;
    let slots = ClaimedSlots::claim(&disk, &request, &consent)?;
    if !args.dry_run {
        slots.approve(&consent)?;
    }
    let images = slots.look_up(session)?;
    let preview = slots.preview(&images)?;
    if args.dry_run {
        return print(&preview.by(plan_file::how(args, Some(slots.fingerprint()?))?), format);
    }
    if let Some(plan) = plan {
        plan.refuse_other(&preview)?;
        refuse_unplanned(args.disk(), &Some(slots.fingerprint()?), plan.fingerprint()?)?;
    }
    let results = slots.write(&images, session)?; // from here on the slots change
    print(&Written::new(args.disk(), disk.size, results, progress.phases()).took(begin.elapsed()), format)
}
