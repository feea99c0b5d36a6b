//! The filesystem of a slot while it is written: made, mounted where only this process sees it, filled, given up
//! again or checked.

use crate::build::session::Session;
use crate::check::partition_names::PartitionNames;
use crate::error::{Result, failed};
use crate::filesystem::feature_table::Version;
use crate::filesystem::features::Features;
use crate::filesystem::kind::{Checked, Filesystem};
use crate::filesystem::mkfs::{MkfsOptions, New};
use crate::layer::Budget;
use crate::layer::entry::Time;
use crate::mount::mounted::Mount;
use crate::mount::vacant::{Overwritten, Vacant};
use crate::oci::Image;
use crate::oci::image::Verified;
use crate::request::slot::SlotRequest;
use crate::root::metadata::set_mtime;
use crate::root::mounted::directory::Root;
use crate::unpack::{At, Task};
use crate::words::location::SlotLocation;
use crate::words::origin::Origin;
use crate::words::partuuid::PartUuid;
use crate::words::slot::Slot;
use anyhow::Context;
use rustix::fs::{fstatvfs, syncfs};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

/// A slot to be written, and facts about its disk.
#[derive(Debug, Clone)]
pub struct SlotSite {
    /// The slot and its partition.
    pub location: SlotLocation,
    /// Names of the disk's partitions.
    pub names: PartitionNames,
    /// Version of the disk's GRUB, or the oldest that it can be.
    pub grub: Version,
    /// Origin of the identifiers and times.
    pub origin: Origin,
    /// The data partition of the disk with its filesystem, if it has one.
    pub data: Option<(PartUuid, Filesystem)>,
}

/// The filesystem to make.
pub struct Made<'m> {
    /// Name of the step, for people.
    pub step: &'static str,
    /// Its type.
    pub filesystem: Filesystem,
    /// The user's options for mkfs.
    pub options: &'m MkfsOptions,
    /// Kernel that must mount it; `None` for any kernel of version 4.9 or later.
    pub kernel: Option<Version>,
}

impl<'m> Made<'m> {
    /// Returns the filesystem that is requested for a slot.
    pub fn requested(slot: Slot, request: &'m SlotRequest) -> Made<'m> {
        let (filesystem, options) = (request.filesystem(slot), &request.mkfs_options);
        Made { step: "making the filesystem", filesystem, options, kernel: None }
    }
}

/// A slot with an empty filesystem, mounted.
pub struct Formatted {
    mounted: Mounted,
}

/// A mounted filesystem that this run has made.
pub struct Mounted {
    /// Name of the slot.
    pub slot: Slot,
    /// Its type.
    pub filesystem: Filesystem,
    /// Its features, and its UUID.
    pub features: Features,
    /// Time before it was made, in seconds since 1970.
    pub begin: u64,
    partition: Overwritten,
    mount: Mount,
    flushing: Option<JoinHandle<std::io::Result<()>>>,
}

impl Formatted {
    /// Makes a filesystem over a vacant partition, and mounts it.
    pub fn make(vacant: Vacant, site: &SlotSite, made: Made, session: Session) -> Result<Formatted> {
        let slot = site.location.slot;
        let _step = session.progress.step(Some(slot), made.step, None);
        let begin = Origin::Fresh.now();
        let label = format!("slot-{slot}");
        let Made { filesystem, options, kernel, .. } = made;
        let uuid = site.origin.uuid(&label);
        let new = New { label: &label, uuid, options, epoch: site.origin.epoch(), kernel };
        let partition = filesystem.format(vacant, &new)?;
        let features = features(partition.path(), &new)?;
        let mount = filesystem.mount_to_write(partition.path(), &session.scratch.directory(&label)?)?;
        Ok(Formatted { mounted: Mounted { slot, filesystem, features, begin, partition, mount, flushing: None } })
    }

    /// Writes all layers of `image` into a folder in one pass, fetching the next one while one is written; then begins to
    /// flush them, which takes place while dracut computes. Without a folder they become the slot's own files.
    pub fn write(self, image: &Image, folder: Option<&str>, session: Session) -> Result<(Mounted, Root, Verified)> {
        let Formatted { mut mounted } = self;
        let step = session.progress.step(Some(mounted.slot), "writing layers", Some(image.stored_bytes()));
        let place = match folder {
            Some(folder) => folder_for_files(mounted.place(), folder)?,
            None => mounted.place().to_owned(),
        };
        let root = Root::open(&place)?;
        let room = fstatvfs(root.fd())?;
        // btrfs has no tables that could be full, and reports zeros (fs/btrfs/super.c, btrfs_statfs).
        let entries = if room.f_files == 0 { u64::MAX } else { room.f_favail };
        let budget = Budget { bytes: room.f_bavail.saturating_mul(room.f_frsize), entries };
        let task = Task { place, hall: session.scratch.directory("unpack")?, budget, at: At::System };
        let verified = image.unpack_at(&task, step.counter())?;
        let directory = root.fd().try_clone_to_owned()?;
        mounted.flushing = Some(thread::spawn(move || Ok(syncfs(directory)?)));
        Ok((mounted, root, verified))
    }
}

/// Makes a folder for the files of an image, which begins as every root does in memory: as `flipslot image` sees it. What
/// is above it is for root alone, because it holds what in the image is for root alone.
fn folder_for_files(top: &Path, folder: &str) -> Result<PathBuf> {
    let place = top.join(folder);
    let making = || format!("making {}", place.display());
    DirBuilder::new().mode(0o700).recursive(true).create(&place).with_context(making)?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).with_context(making)?;
    set_mtime(File::open(&place).with_context(making)?, Time::default()).with_context(making)?;
    Ok(place)
}

impl Mounted {
    /// Returns the path at which it is mounted.
    pub fn place(&self) -> &Path {
        self.mount.mount_point()
    }

    /// Waits until the layers are on the disk.
    pub fn finish_flushing(&mut self) -> Result<()> {
        let Some(flushing) = self.flushing.take() else { return Ok(()) };
        let stopped = |_| failed("flushing the slot stopped early", "run the command again");
        flushing.join().map_err(stopped)?.context("flushing the slot")
    }

    /// Unmounts the filesystem, and gives it up to be made again.
    pub fn give_up(mut self) -> Result<Vacant> {
        self.finish_flushing()?;
        self.mount.close()?;
        Ok(self.partition.vacate())
    }

    /// Unmounts the filesystem, and has its checker look at it.
    pub fn check(mut self) -> Result<Checked> {
        self.finish_flushing()?;
        self.mount.close()?;
        self.filesystem.check(self.partition.path())
    }
}

/// Reads the features of the filesystem that was made on `device`. Fails if it is not the requested one: a
/// user's options can make mkfs do nothing at all (`-n`), and the previous filesystem would be written to.
fn features(device: &Path, new: &New) -> Result<Features> {
    Features::read(device)?.filter(|features| features.uuid == new.uuid).ok_or_else(|| {
        let found = "mkfs exited with success, but did not make the requested filesystem";
        failed(found, "omit --mkfs-options, or see what each of them does")
    })
}
