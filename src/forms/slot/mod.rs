//! The slot form: an image becomes the root filesystem in a partition of a disk.

pub mod formatted;
pub mod root_file;

use crate::boot::entry::GrubEntry;
use crate::boot::record::Record;
use crate::boot::root_on::RootOn;
use crate::boot::sealed::Sealed;
use crate::build::agent;
use crate::build::bootable::{Bootable, Built};
use crate::build::filled::{Filled, Site};
use crate::build::inspected::{FormatAgain, Inspection};
use crate::build::session::Session;
use crate::check::report::Report;
use crate::error::{Result, failed};
use crate::filesystem::kind::Filesystem;
use crate::filesystem::mkfs::MkfsOptions;
use crate::forms::slot::formatted::{Formatted, Made, Mounted, SlotSite};
use crate::forms::slot::root_file::Packed;
use crate::mount::loop_device::Loop;
use crate::mount::vacant::Vacant;
use crate::oci::Image;
use crate::oci::image::Verified;
use crate::output::written::SlotResult;
use crate::request::images::SlotImage;
use crate::request::slot::{Agent, SlotRequest};
use crate::root::carry_over::CarryOver;
use crate::root::mounted::clamp_times;
use crate::root::mounted::directory::Root;
use crate::tool;
use crate::unpack;
use crate::words::location::SlotLocation;
use crate::words::slot::Slot;
use anyhow::Context;
use rustix::fs::syncfs;

/// The image for a slot, and how it is to be written.
#[derive(Clone, Copy)]
pub struct SlotJob<'j> {
    /// The image.
    pub image: &'j Image,
    /// Request for how the slot is made and boots.
    pub request: &'j SlotRequest,
    /// Files to carry over from the running slot; `None` where nothing runs.
    pub carry_over: Option<&'j CarryOver>,
}

/// A slot that boots, still mounted.
pub struct BootableSlot {
    site: SlotSite,
    mounted: Mounted,
    bootable: Bootable<Root>,
    packed: Option<Packed>,
}

/// A slot that is flushed, unmounted, checked, and may boot.
pub struct SealedSlot {
    /// Name of the slot.
    pub slot: Slot,
    /// Record of what the slot holds and how it boots, which may be published.
    pub sealed: Sealed,
    /// Reason for the choice of the initramfs.
    pub initramfs_why: String,
    /// Findings of the rules.
    pub report: Report,
    /// Files that were carried over from the running slot.
    pub carried: Vec<String>,
}

/// Refuses to begin if one of `slots` cannot be made as requested on this machine.
pub fn refuse_unable(request: &SlotRequest, slots: &[Slot], session: Session) -> Result<()> {
    if request.agent == Agent::Add {
        agent::refuse_if_dynamic()?;
    }
    Loop::refuse_if_none()?;
    request.refuse_unfit(slots)?;
    let refuse = |filesystem: Filesystem| {
        filesystem.refuse_words(&request.mkfs_options)?;
        tool::refuse_missing(filesystem.programs())?;
        filesystem.refuse_unknown_to_kernel()
    };
    slots.iter().try_for_each(|slot| refuse(request.filesystem(*slot)).with_context(|| format!("slot {slot}")))?;
    request.root.map(root_file::refuse_unwritable).transpose()?;
    tool::refuse_missing(&[("unshare", "util-linux")])?;
    unpack::refuse_unable(session.scratch.directory("unpack")?, session.scratch.directory("probe")?)
}

/// Writes an image into a vacant partition and makes it bootable: filesystem, layers, rules and fixes, agent,
/// carried files, initramfs, entry. The filesystem is made and filled a second time if the rules want that.
pub fn make_bootable(vacant: Vacant, site: SlotSite, job: SlotJob, session: Session) -> Result<BootableSlot> {
    let SlotJob { request, carry_over, .. } = job;
    let slot = site.location.slot;
    let first = fill(Formatted::make(vacant, &site, Made::requested(slot, request), session)?, job, session)?;
    let (place, mut mounted, mut packed) = (site_of(&site, &first)?, first.mounted, first.packed);
    let mut inspected = match Filled::new(first.root, place, first.verified).inspect(request, session)? {
        Inspection::Passed(inspected) => inspected,
        Inspection::FormatAgain(FormatAgain { root, kernel, earlier }) => {
            drop(root);
            let filesystem = request.filesystem(slot);
            let made =
                Made { step: "making the filesystem again", filesystem, options: &MkfsOptions::default(), kernel };
            let again = fill(Formatted::make(mounted.give_up()?, &site, made, session)?, job, session)?;
            let place = site_of(&site, &again)?;
            (mounted, packed) = (again.mounted, again.packed);
            match Filled::again(again.root, place, again.verified, earlier).inspect(request, session)? {
                Inspection::Passed(inspected) => inspected,
                Inspection::FormatAgain(_) => {
                    return Err(failed(
                        "the filesystem was made again, and the rules still reject it",
                        "choose another --filesystem, or an image with a newer kernel",
                    ));
                }
            }
        }
    };
    inspected.add_agent(request.agent, session)?;
    carry_over.map(|keep| inspected.carry_over(keep, request, session)).transpose()?;
    Ok(BootableSlot { bootable: inspected.make_bootable(request, session)?, site, mounted, packed })
}

/// A slot with the files of its image.
struct Contents {
    mounted: Mounted,
    root: Root,
    verified: Verified,
    /// The root as one file, if that is what it is to be.
    packed: Option<Packed>,
}

/// Writes the layers, and then the root as one file, if that is requested.
fn fill(formatted: Formatted, job: SlotJob, session: Session) -> Result<Contents> {
    let SlotJob { image, request, .. } = job;
    let folder = request.root.map(|_| root_file::TREE);
    let (mounted, root, verified) = formatted.write(image, folder, session)?;
    let packed = match request.root {
        Some(request) => {
            let _step = session.progress.step(Some(mounted.slot), "writing the root as one file", None);
            Some(root_file::pack(&mounted, &root, image, request)?)
        }
        None => None,
    };
    Ok(Contents { mounted, root, verified, packed })
}

/// Returns what rules, initramfs and command line need to know of a slot's place.
fn site_of(site: &SlotSite, filled: &Contents) -> Result<Site> {
    let Contents { mounted, packed, .. } = filled;
    let SlotLocation { slot, partuuid, .. } = site.location;
    let mut names = site.names.clone();
    names.add(Some(slot), "UUID", &mounted.features.uuid.to_string());
    let on = match packed {
        Some(packed) => packed.on(site, mounted)?,
        None => RootOn::Partition { partuuid, filesystem: mounted.filesystem },
    };
    Ok(Site {
        slot: Some(slot),
        on,
        features: Some(mounted.features.clone()),
        grub: site.grub,
        names: Some(names),
        in_memory: None,
    })
}

impl BootableSlot {
    /// Returns the root, for programs of the image that the disk needs.
    pub fn root(&self) -> &Root {
        &self.bootable.root
    }

    /// Flushes, unmounts and checks the slot; from here on it is not touched.
    pub fn seal(self, job: SlotJob, session: Session) -> Result<SealedSlot> {
        let BootableSlot { site, mut mounted, bootable: Bootable { root, mut built }, packed } = self;
        let slot = site.location.slot;
        let _step = session.progress.step(Some(slot), "flushing and checking", None);
        let (root, root_file) = match packed {
            Some(packed) => packed.finish(root, &mut built).map(|(root, file)| (root, Some(file)))?,
            None => (root, None),
        };
        mounted.finish_flushing()?;
        if let Some(epoch) = site.origin.epoch() {
            clamp_times::clamp(&root, i64::try_from(mounted.begin)?, i64::try_from(epoch)?)
                .context("setting the times of the slot's files")?;
        }
        syncfs(root.fd()).context("flushing the slot")?;
        drop(root);
        let (filesystem, uuid) = (mounted.filesystem, mounted.features.uuid.to_string());
        let checked = mounted.check()?;
        let Built { entry, drivers, initramfs_by, initramfs_why, agent, keep, carried, fixed, report } = built;
        let SlotLocation { table, region, .. } = site.location;
        let record = Record {
            version: 1,
            reference: job.image.reference.to_string(),
            digest: job.image.digest.clone(),
            grub: GrubEntry { entry, table: table.into(), partition: region.number },
            filesystem: filesystem.into(),
            filesystem_uuid: uuid,
            hardware: job.request.hardware.clone(),
            drivers,
            initramfs_by: initramfs_by.into(),
            fixed: fixed.into(),
            allowed: report.allowed().into_iter().map(ToOwned::to_owned).collect(),
            agent,
            keep,
            root: root_file,
            created: job.image.created,
            signed_by: job.image.signature.keys.clone(),
            written: site.origin.now(),
            flipslot: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(SealedSlot { slot, sealed: Sealed::new(record, checked), initramfs_why, report, carried })
    }
}

impl SealedSlot {
    /// Returns what is to be said of the slot, which was filled with `one`.
    pub fn result(self, one: &SlotImage) -> SlotResult {
        SlotResult {
            location: one.location,
            layers: one.image.layer_count(),
            stored_bytes: one.image.stored_bytes(),
            signature: one.image.signature.clone(),
            record: self.sealed.record().clone(),
            initramfs_why: self.initramfs_why,
            findings: self.report.findings,
            carried: self.carried,
        }
    }
}
