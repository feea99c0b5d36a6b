//! Takes a slot from an empty partition to one that may boot. Each step consumes the one before it, so that a
//! slot that was not filled, verified and checked cannot be published.

use crate::boot::entry::Entry;
use crate::boot::record::{Mended, Record};
use crate::build::agent::Agent;
use crate::build::prepare::Start;
use crate::check::partition_names::Surroundings;
use crate::check::report::Report;
use crate::check::subject::{Initramfs, Insight};
use crate::error::{Result, failed};
use crate::filesystem::feature_table::Version;
use crate::filesystem::features;
use crate::filesystem::features::Features;
use crate::filesystem::kind::{Filesystem, MkfsOptions, New};
use crate::layer::Budget;
use crate::mount::loop_device::Loop;
use crate::mount::mounted as mount;
use crate::mount::mounted::Mount;
use crate::mount::scratch::Scratch;
use crate::mount::vacant::{Ground, Vacant};
use crate::oci::Image;
use crate::progress::Progress;
use crate::request::location::Place;
use crate::request::slot::SlotWish;
use crate::root::carry_over::{Keep, Which};
use crate::root::mounted::clamp_times as settle;
use crate::root::mounted::directory::Root;
use crate::root::mounted::sink::MountedRoot;
use crate::tool;
use crate::words::origin::Origin;
use crate::words::slot::Slot;
use anyhow::Context;
use rustix::fs::{fstatvfs, syncfs};
use std::path::Path;
use std::thread::{self, JoinHandle};
use uuid::Uuid;

/// Refuses to begin if a filesystem of this kind cannot be made with these options, checked or mounted.
pub fn refuse_unable(filesystem: Filesystem, options: &MkfsOptions) -> Result<()> {
    filesystem.refuse_words(options)?;
    tool::refuse_missing(filesystem.kind().programs)?;
    tool::refuse_missing(&[("unshare", "util-linux")])?;
    mount::refuse_unknown(filesystem)
}

/// A slot's partition, and facts about its disk.
pub struct Site {
    /// The slot and its partition.
    pub place: Place,
    /// Names of the disk's partitions.
    pub surroundings: Surroundings,
    /// Version of the disk's GRUB, or the oldest that it can be.
    pub grub: Version,
    /// Origin of the identifiers and times.
    pub origin: Origin,
}

impl Site {
    /// Fills the slot with an image, runs the rules on it, and adds the agent.
    pub fn filled(
        self,
        scratch: &Scratch,
        (vacant, image): (Vacant, &Image),
        wanted: &SlotWish,
        progress: &Progress,
    ) -> Result<Filled> {
        let formatted = Formatted::new(scratch, vacant, self, wanted, progress)?;
        let mut filled = formatted.fill(image, progress)?.inspect(scratch, image, wanted, progress)?;
        filled.add(wanted.agent, progress)?;
        Ok(filled)
    }
}

/// A newly made root filesystem.
pub(super) struct Made {
    pub filesystem: Filesystem,
    pub features: Features,
    uuid: Uuid,
    /// Time before the filesystem was made, in seconds since 1970.
    begin: u64,
}

/// A slot with an empty filesystem, mounted where only this process sees it.
pub struct Formatted {
    site: Site,
    made: Made,
    device: Loop,
    mount: Mount,
}

/// A slot that holds an entire image, every byte of it verified.
pub struct Filled {
    pub(super) site: Site,
    pub(super) made: Made,
    device: Loop,
    mount: Mount,
    pub(super) root: Root,
    flushing: JoinHandle<std::io::Result<()>>,
    agent: Vec<String>,
    pub(super) keep: Option<Vec<String>>,
    /// Facts about the image, once they were read.
    pub(super) insight: Option<Insight>,
    /// Initramfs that the slot boots with: the image's own, until another is made.
    pub(super) initramfs: Initramfs,
    pub(super) start: Option<Start>,
    pub(super) mended: Vec<Mended>,
    pub(super) report: Report,
}

/// A slot that is flushed, unmounted, checked, and may boot.
pub struct Sealed {
    /// Name of the slot.
    pub slot: Slot,
    /// Record of what the slot holds and how it boots.
    pub record: Record,
    /// Reason for the choice of the initramfs.
    pub initramfs_why: String,
    /// Findings of the rules.
    pub report: Report,
}

impl Formatted {
    /// Makes a filesystem in the slot's partition, and mounts it.
    fn new(scratch: &Scratch, vacant: Vacant, site: Site, wanted: &SlotWish, progress: &Progress) -> Result<Formatted> {
        let _step = progress.step(Some(site.place.slot), "making the filesystem", None);
        let filesystem = wanted.filesystem(site.place.slot);
        Formatted::over(scratch, vacant.take(), site, (filesystem, &wanted.mkfs_options, None))
    }

    fn over(
        scratch: &Scratch,
        (device, ground): (Loop, Ground),
        site: Site,
        (filesystem, options, kernel): (Filesystem, &MkfsOptions, Option<Version>),
    ) -> Result<Formatted> {
        let begin = Origin::Fresh.now();
        let label = format!("slot-{}", site.place.slot);
        let uuid = site.origin.uuid(&label);
        let new = New { label: &label, uuid, ground, options, epoch: site.origin.epoch(), kernel };
        filesystem.format(device.path(), &new)?;
        let made = Made { filesystem, features: made(device.path(), &new)?, uuid, begin };
        let mount = Mount::filesystem(device.path(), filesystem, &scratch.directory(&label)?)?;
        Ok(Formatted { site, made, device, mount })
    }

    /// Writes all layers of `image` in one pass, and fetches the next one while one is written.
    pub fn fill(self, image: &Image, progress: &Progress) -> Result<Filled> {
        let Formatted { mut site, made, device, mount } = self;
        let slot = site.place.slot;
        let step = progress.step(Some(slot), "writing layers", Some(image.stored_bytes()));
        let root = Root::open(mount.place())?;
        let room = fstatvfs(root.fd())?;
        // btrfs has no tables that could be full, and reports zeros (fs/btrfs/super.c, btrfs_statfs).
        let entries = if room.f_files == 0 { u64::MAX } else { room.f_favail };
        let budget = Budget { bytes: room.f_bavail.saturating_mul(room.f_frsize), entries };
        image.apply_to(&mut MountedRoot::new(root)?, budget, step.counter())?;
        let root = Root::open(mount.place())?;
        // The disk writes the layers while dracut computes.
        let directory = root.fd().try_clone_to_owned()?;
        let flushing = thread::spawn(move || Ok(syncfs(directory)?));
        site.surroundings.add(Some(slot), "UUID", &made.uuid.to_string());
        Ok(Filled {
            site,
            made,
            device,
            mount,
            root,
            flushing,
            agent: Vec::new(),
            keep: None,
            insight: None,
            initramfs: Initramfs::ToBeMade,
            start: None,
            mended: Vec::new(),
            report: Report::default(),
        })
    }
}

/// Reads the features of the filesystem that was made on `device`. Fails if it is not the requested one: a
/// user's options can make mkfs do nothing at all (`-n`), and the previous filesystem would be written to.
fn made(device: &Path, new: &New) -> Result<Features> {
    Features::read(device)?.filter(|features| features.uuid == new.uuid).ok_or_else(|| {
        let found = "mkfs exited with success, but did not make the requested filesystem";
        failed(found, "omit --mkfs-options, or see what each of them does")
    })
}

impl Filled {
    /// Returns the path at which the slot is mounted.
    pub fn path(&self) -> &Path {
        self.mount.place()
    }

    /// Adds the agent, if it is requested and the image has a systemd to run it.
    fn add(&mut self, agent: Agent, progress: &Progress) -> Result<()> {
        self.agent = agent.install(&self.root).context("adding the agent")?;
        if agent == Agent::Add && self.agent.is_empty() {
            let why = "the image has no systemd to run the agent: it is left out";
            progress.warn(Some(self.site.place.slot), why);
        }
        Ok(())
    }

    /// Carries files over from the running slot; returns their names.
    pub fn carry(&mut self, keep: &Keep) -> Result<Vec<String>> {
        self.keep = Some(keep.patterns().to_vec());
        keep.carry(Path::new("/"), &self.root, Which::Running)
    }

    /// Empties the slot: makes its filesystem again for the image's kernel, without the user's options.
    pub fn format_again(self, scratch: &Scratch, progress: &Progress) -> Result<Formatted> {
        let kernel = self.kernel_version().and_then(features::version);
        let Filled { site, made, device, mount, root, flushing, .. } = self;
        let _step = progress.step(Some(site.place.slot), "making the filesystem again", None);
        flushed(flushing)?;
        drop(root);
        mount.close()?;
        Formatted::over(scratch, (device, Ground::Used), site, (made.filesystem, &MkfsOptions::default(), kernel))
    }

    /// Flushes, unmounts and checks the slot; from here on it is not touched.
    pub fn seal(self, image: &Image, entry: Entry, hardware: &str, progress: &Progress) -> Result<Sealed> {
        let _step = progress.step(Some(self.site.place.slot), "flushing and checking", None);
        flushed(self.flushing)?;
        if let Some(epoch) = self.site.origin.epoch() {
            settle::times(&self.root, i64::try_from(self.made.begin)?, i64::try_from(epoch)?)
                .context("setting the times of the slot's files")?;
        }
        syncfs(self.root.fd()).context("flushing the slot")?;
        drop(self.root);
        self.mount.close()?;
        self.made.filesystem.check(self.device.path())?;
        let Start { by, why, drivers } = self.start.context("the slot has no initramfs")?;
        let record = Record {
            version: 1,
            reference: image.reference.to_string(),
            digest: image.digest.clone(),
            entry,
            filesystem: self.made.filesystem,
            filesystem_uuid: self.made.uuid.to_string(),
            hardware: hardware.to_owned(),
            drivers,
            initramfs_by: by,
            mended: self.mended,
            allowed: self.report.allowed().into_iter().map(ToOwned::to_owned).collect(),
            agent: self.agent,
            keep: self.keep,
            written: self.site.origin.now(),
            flipslot: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(Sealed { slot: self.site.place.slot, record, initramfs_why: why, report: self.report })
    }
}

fn flushed(flushing: JoinHandle<std::io::Result<()>>) -> Result<()> {
    let stopped = |_| failed("flushing the slot stopped early", "run the command again");
    flushing.join().map_err(stopped)?.context("flushing the slot")
}
