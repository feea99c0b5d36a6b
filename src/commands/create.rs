//! `flipslot create`: OCI images in, a bootable disk out.

use crate::boot::grub::menu_entry::Content;
use crate::boot::grub::{config, menu_entry as entry};
use crate::boot::ledger::Ledger;
use crate::boot::record;
use crate::boot::state::State;
use crate::build::fill::{Sealed, Site};
use crate::check::partition_names::BOOT_LABEL;
use crate::check::subject::OLDEST_GRUB;
use crate::cli::CreateArgs;
use crate::disk::installed::boot_files::{CONFIG, EFI, LEDGER, PLACES, STATE, entry_path, record_path};
use crate::disk::new::layout::Layout;
use crate::disk::new::target::Target;
use crate::disk::table::read::Ids;
use crate::error::Result;
use crate::filesystem::fat;
use crate::forms::grub_images::Grub;
use crate::forms::{grub_images as image, keep_data as refill};
use crate::mount::loop_device::Loop;
use crate::mount::scratch::Scratch;
use crate::oci;
use crate::output::plan::Plan;
use crate::output::written::{Format, Written};
use crate::progress::Progress;
use crate::publish::artifact::Contents;
use crate::request::disk::{Definition, Filling};
use crate::request::location::Place;
use crate::request::plan_file as planned;
use crate::request::slot::SlotWish;
use crate::words::origin::Origin;
use crate::words::region::{Region, TableKind};
use crate::words::slot::Slot;
use anyhow::Context;
use std::collections::BTreeMap;
use std::time::Instant;

/// Makes a disk from images, or carries out a plan.
pub fn run(args: &CreateArgs) -> Result<()> {
    match &args.plan {
        Some(file) => {
            let (planned, plan) = planned::read(file, args)?;
            make(&planned, Some(&plan))
        }
        None => make(args, None),
    }
}

/// Makes a disk from images; as `plan` says, if there is one.
///
/// Nothing boots from the disk until the last step: a device has no partition table before
/// [`Target::write_ends`], a file no name before [`Artifact::publish`](crate::publish::artifact::Artifact::publish).
/// Whatever is there already is refused before anything is written.
fn make(args: &CreateArgs, plan: Option<&Plan>) -> Result<()> {
    if args.keep_data {
        return refill::run(args, plan);
    }
    let begin = Instant::now();
    let progress = Progress::new(args.image.progress);
    oci::trust::bundle_if_none()?;
    let wanted = Definition::of(args, plan)?;
    let slot = &wanted.filling.slot;
    let layout = Layout::plan(&wanted.wish)?;
    let scratch = Scratch::enter()?;
    Loop::refuse_if_none()?;
    slot.refuse_unable(&wanted.filling.images.keys().copied().collect::<Vec<_>>())?;
    wanted.artifact.refuse_unable()?;
    if args.dry_run {
        return tell(args, &wanted, &layout, &progress);
    }
    let mut disk = wanted.consent.claim(args.disk(), (wanted.wish.size, wanted.wish.sector))?.open()?;
    let Images { origin, ids, images } = Images::of(&wanted, &layout, &progress)?;
    if let Some(plan) = plan {
        plan.refuse_other(&Plan::of_disk(args.disk(), &layout, &images, |of| slot.filesystem(of)))?;
    }
    wanted.artifact.prepare(&mut disk, images.iter().map(|(_, image)| image.stored_bytes()).sum())?;
    disk.withdraw(&layout)?; // from here on it does not boot
    let around = Around { layout: &layout, ids: &ids, origin: &origin, scratch: &scratch, progress: &progress };
    let (grub, sealed) = around.fill(&disk, &images, slot)?;
    let step = progress.step(None, "writing the boot partition", None);
    disk.write_region(layout.core, &grub.core)?;
    disk.write_region(layout.boot, &boot_partition(&layout, &grub, &sealed)?)?;
    let mut last = ids.table(&layout)?;
    last.push((0, grub.boot));
    disk.write_ends(last)?; // now a device boots
    let disk = disk.finish();
    drop(step);
    let slots = sealed.iter().map(|sealed| (sealed.slot, sealed.record.clone())).collect();
    let contents = Contents { layout: &layout, slots, written: origin.now() };
    let files = wanted.artifact.publish(disk, &contents, &scratch, &progress)?; // now a file is there
    let format = if args.image.json { Format::Json } else { Format::Text };
    Written::new((args.disk(), layout.size), &images, sealed, (progress.phases(), begin.elapsed()))
        .with_files(files)
        .print(format)
}

/// Prints what would be done, and what is there now.
fn tell(args: &CreateArgs, wanted: &Definition, layout: &Layout, progress: &Progress) -> Result<()> {
    let (fingerprint, now) = wanted.consent.look(args.disk())?;
    let images = Images::of(wanted, layout, progress)?.images;
    let plan = Plan::of_disk(args.disk(), layout, &images, |slot| wanted.filling.slot.filesystem(slot));
    let plan = plan.noting(format!("on {} now: {now}", args.disk().display()));
    plan.by(planned::how(args, fingerprint)?).print(args.image.json)
}

/// The images with their places, and the identifiers of the disk.
struct Images {
    origin: Origin,
    ids: Ids,
    images: Vec<(Place, oci::Image)>,
}

impl Images {
    fn of(wanted: &Definition, layout: &Layout, progress: &Progress) -> Result<Images> {
        let images = look_up(&wanted.filling, layout, progress)?;
        let origin = wanted.origin(layout, &images)?;
        let ids = Ids::new(layout, &origin);
        let images = placed(&wanted.filling, layout, &ids, images)?;
        Ok(Images { origin, ids, images })
    }
}

/// The data that the slots of one disk have in common.
struct Around<'a> {
    layout: &'a Layout,
    ids: &'a Ids,
    origin: &'a Origin,
    scratch: &'a Scratch,
    progress: &'a Progress,
}

impl Around<'_> {
    /// Fills every slot that gets an image, and makes GRUB's images: with the first slot's GRUB if this
    /// machine has none.
    fn fill(&self, disk: &Target, images: &[(Place, oci::Image)], slot: &SlotWish) -> Result<(Grub, Vec<Sealed>)> {
        let Around { layout, ids, origin, scratch, progress } = *self;
        let version = image::version().unwrap_or(OLDEST_GRUB);
        let mut grub = None;
        let mut sealed = Vec::new();
        for (place, image) in images {
            let doing = || format!("slot {}", place.slot);
            let vacant = disk.vacant(place.region)?;
            let surroundings = layout.surroundings(ids, place.slot);
            let site = Site { place: *place, surroundings, grub: version, origin: origin.clone() };
            let mut filled = site.filled(scratch, (vacant, image), slot, progress).with_context(doing)?;
            let entry = filled.entry(scratch, slot, progress).with_context(doing)?;
            if grub.is_none() {
                let _step = progress.step(None, "making GRUB's images", None);
                grub = Some(Grub::make(scratch, filled.path(), layout)?);
            }
            sealed.push(filled.seal(image, entry, &slot.hardware, progress).with_context(doing)?);
        }
        Ok((grub.context("no slot was filled")?, sealed))
    }
}

/// Looks up every image, which from here on is identified by its digest.
fn look_up(wanted: &Filling, layout: &Layout, progress: &Progress) -> Result<Vec<(Slot, oci::Image)>> {
    let _step = progress.step(None, "looking up images", None);
    let mut images = Vec::new();
    for (slot, reference) in &wanted.images {
        layout.slot(*slot)?;
        let image = oci::resolve(reference, &wanted.slot.platform, &wanted.slot.access);
        images.push((*slot, image.with_context(|| format!("slot {slot}"))?));
    }
    Ok(images)
}

/// Returns the place of each image. Refuses images that cannot fit.
fn placed(
    wanted: &Filling,
    layout: &Layout,
    ids: &Ids,
    images: Vec<(Slot, oci::Image)>,
) -> Result<Vec<(Place, oci::Image)>> {
    let place = |(slot, image)| {
        let place = Place::new(slot, layout.slot(slot)?, (layout.table, ids));
        place.refuse_unfit(&image, wanted.slot.filesystem(slot))?;
        Ok((place, image))
    };
    images.into_iter().map(place).collect()
}

/// Builds the boot partition: GRUB, its static config, the state block, the ledger, and an entry and a record
/// for each slot.
fn boot_partition(layout: &Layout, grub: &Grub, sealed: &[Sealed]) -> Result<Vec<u8>> {
    let first = sealed.first().context("no slot was filled")?;
    let state = State::first(first.slot).render().to_vec();
    let mut files = vec![
        (EFI.to_owned(), grub.efi.clone()),
        (CONFIG.to_owned(), config::CONFIG.into()),
        (STATE[0].to_owned(), state.clone()),
        // Between the two copies, so that they share no page and no physical sector.
        (LEDGER.to_owned(), Ledger::default().render()?),
        (STATE[1].to_owned(), state),
    ];
    if layout.table == TableKind::Mbr {
        let places: BTreeMap<Slot, Region> = (0..).map_while(Slot::at).zip(layout.slots.iter().copied()).collect();
        files.push((PLACES.to_owned(), serde_json::to_vec(&places)?));
    }
    for slot in (0..).map_while(Slot::at).take(layout.slots.len()) {
        let record = sealed.iter().find(|sealed| sealed.slot == slot).map(|sealed| &sealed.record);
        let content = record.map_or(Content::Empty, |record| Content::Entry(&record.entry));
        files.push((entry_path(slot), entry::render(slot, content)?));
        files.push((record_path(slot), record::render(record)?));
    }
    let volume_id = u32::from_str_radix(&first.record.filesystem_uuid[..8], 16)?;
    fat::image((layout.boot.size, layout.sector), BOOT_LABEL, volume_id, &files)
}
