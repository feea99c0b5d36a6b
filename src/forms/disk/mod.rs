//! The disk form: images become the slots of a new disk, which boots from BIOS and from UEFI.

pub mod boot_volume;
pub mod grub_programs;

use crate::boot::root_on::Keeps;
use crate::build::session::Session;
use crate::check::subject::OLDEST_GRUB;
use crate::disk::new::layout::Layout;
use crate::disk::new::target::Target;
use crate::disk::table::ids::Ids;
use crate::error::Result;
use crate::filesystem::kind::Filesystem;
use crate::filesystem::mkfs::{MkfsOptions, New};
use crate::forms::disk::grub_programs::Grub;
use crate::forms::slot::formatted::SlotSite;
use crate::forms::slot::root_file::refuse_without_data;
use crate::forms::slot::{self, SealedSlot, SlotJob};
use crate::oci;
use crate::oci::Image;
use crate::output::plan::Plan;
use crate::output::written::SlotResult;
use crate::publish::artifact::Contents;
use crate::publish::written_file::WrittenFile;
use crate::request::disk::DiskRequest;
use crate::request::images::SlotImage;
use crate::request::slot::SlotRequest;
use crate::words::location::SlotLocation;
use crate::words::origin::Origin;
use crate::words::region::Run;
use crate::words::slot::Slot;
use anyhow::Context;
use std::path::Path;

/// A new disk, with all that is decided before the first byte of it is written.
pub struct NewDisk {
    layout: Layout,
    ids: Ids,
    origin: Origin,
    images: Vec<SlotImage>,
}

/// A disk that was made.
pub struct MadeDisk {
    /// Size in bytes.
    pub size: u64,
    /// Its slots.
    pub slots: Vec<SlotResult>,
    /// The disk file and those beside it; empty for a device.
    pub files: Vec<WrittenFile>,
}

impl NewDisk {
    /// Looks up all images, by digest from here on, and decides what goes where. Refuses images that cannot fit.
    pub fn plan(request: &DiskRequest, layout: Layout, session: Session) -> Result<NewDisk> {
        refuse_without_data(request.fill.slot.root, layout.data.is_some())?;
        let images = look_up(request, &layout, session)?;
        let origin = request.origin(&layout, &images)?;
        let ids = Ids::new(&layout, &origin);
        let fitting = |(slot, image): (Slot, Image)| {
            let region = layout.slot(slot)?;
            let location = SlotLocation { slot, region, partuuid: ids.of(region), table: layout.table };
            SlotImage::fitting(location, image, &request.fill.slot)
        };
        let images = images.into_iter().map(fitting).collect::<Result<_>>()?;
        Ok(NewDisk { layout, ids, origin, images })
    }

    /// Returns what would be done to the disk at `path`.
    pub fn preview(&self, path: &Path, request: &SlotRequest) -> Plan {
        Plan::of_disk(path, &self.layout, &self.images, |slot| request.filesystem(slot))
    }

    /// Makes the disk.
    ///
    /// Nothing boots from it until the last step: a device has no partition table before
    /// [`Target::write_ends`], a file no name before
    /// [`Artifact::publish`](crate::publish::artifact::Artifact::publish).
    pub fn make(self, mut disk: Target, request: &DiskRequest, session: Session) -> Result<MadeDisk> {
        let NewDisk { layout, ids, origin, .. } = &self;
        request.artifact.prepare(&mut disk, self.images.iter().map(|one| one.image.stored_bytes()).sum())?;
        disk.withdraw(layout)?; // from here on it does not boot
        let (grub, sealed) = self.fill(&disk, &request.fill.slot, session)?;
        let step = session.progress.step(None, "writing the boot partition", None);
        disk.write_region(layout.core, &grub.core)?;
        disk.write_region(layout.boot, &boot_volume::make(layout, &grub.efi, &sealed)?)?;
        let mut last = ids.table(layout)?;
        last.push(Run { offset: 0, bytes: grub.boot });
        disk.write_ends(last)?; // now a device boots
        let disk = disk.finish();
        drop(step);
        let slots = sealed.iter().map(|sealed| (sealed.slot, sealed.sealed.record().clone())).collect();
        let contents = Contents { layout, slots, written: origin.now() };
        let files = request.artifact.publish(disk, &contents, session.scratch, session.progress)?; // now a file is there
        let slots = self.images.iter().zip(sealed).map(|(one, sealed)| sealed.result(one)).collect();
        Ok(MadeDisk { size: layout.size, slots, files })
    }

    /// Fills every slot that gets an image, and makes GRUB's programs: with the first slot's GRUB if this machine
    /// has none.
    fn fill(&self, disk: &Target, request: &SlotRequest, session: Session) -> Result<(Grub, Vec<SealedSlot>)> {
        let version = grub_programs::version().unwrap_or(OLDEST_GRUB);
        let mut grub = None;
        let mut sealed = Vec::new();
        let data = self.layout.data.map(|region| (self.ids.of(region), OF_DATA));
        for SlotImage { location, image } in &self.images {
            let doing = || format!("slot {}", location.slot);
            let vacant = disk.vacant(location.region)?;
            let names = self.layout.partition_names(&self.ids, location.slot);
            let site = SlotSite { location: *location, names, grub: version, origin: self.origin.clone(), data };
            let job = SlotJob { image, request, carry_over: None };
            let bootable = slot::make_bootable(vacant, site, job, session).with_context(doing)?;
            if grub.is_none() {
                let _step = session.progress.step(None, "making GRUB's images", None);
                grub = Some(Grub::make(session.scratch, bootable.root(), &self.layout)?);
            }
            sealed.push(bootable.seal(job, session).with_context(doing)?);
        }
        self.format_data(disk, request, session)?;
        Ok((grub.context("no slot was filled")?, sealed))
    }

    /// Makes the filesystem of the data partition, if slots keep there what is written; else it is the user's to make.
    fn format_data(&self, disk: &Target, request: &SlotRequest, session: Session) -> Result<()> {
        let keeps = request.root.is_some_and(|root| root.keeps == Keeps::Data);
        let Some(region) = self.layout.data.filter(|_| keeps) else { return Ok(()) };
        let _step = session.progress.step(None, "making the filesystem of the data partition", None);
        let (uuid, options) = (self.origin.uuid(DATA), MkfsOptions::default());
        let new = New { label: DATA, uuid, options: &options, epoch: self.origin.epoch(), kernel: None };
        let made = OF_DATA.format(disk.vacant(region)?, &new).context("the data partition")?;
        OF_DATA.check(made.path()).map(drop).context("the data partition")
    }
}

/// Filesystem of the data partition.
const OF_DATA: Filesystem = Filesystem::Ext4;
/// Label of the data partition's filesystem.
const DATA: &str = "data";

/// Looks up every image, which from here on is identified by its digest.
fn look_up(request: &DiskRequest, layout: &Layout, session: Session) -> Result<Vec<(Slot, Image)>> {
    let _step = session.progress.step(None, "looking up images", None);
    let mut images = Vec::new();
    for (slot, reference) in &request.fill.images {
        layout.slot(*slot)?;
        let image = oci::resolve(reference, &request.fill.slot.platform, &request.fill.slot.access);
        images.push((*slot, image.with_context(|| format!("slot {slot}"))?));
    }
    Ok(images)
}
