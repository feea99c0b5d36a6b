//! A slot on its way from an empty partition to one that may boot. Each step takes the one before
//! it, so that a slot which was not filled, verified and checked cannot be published.

use crate::boot::agent::Agent;
use crate::boot::cmdline::Cmdline;
use crate::boot::kernel;
use crate::boot::record::Record;
use crate::boot::release::Release;
use crate::boot::{Entry, Hardware, initramfs, requirements, root_filesystem};
use crate::commands::slot_wish::SlotWish;
use crate::digest::Digest;
use crate::disk::Region;
use crate::disk::gpt::Guids;
use crate::disk::loops::Loop;
use crate::disk::mount::{self, Mount, Scratch};
use crate::disk::vacant::Vacant;
use crate::error::{Result, failed, refused};
use crate::filesystem::feature_table::Version;
use crate::filesystem::features::Features;
use crate::filesystem::keep::{Keep, Which};
use crate::filesystem::kind::New;
use crate::filesystem::{Filesystem, MountedRoot, Root};
use crate::layer::{Budget, LayerPath};
use crate::oci::Image;
use crate::progress::Progress;
use crate::slot::Slot;
use crate::tool;
use crate::units::Bytes;
use anyhow::Context;
use rustix::fs::{fstatvfs, syncfs};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Refuses to begin where a slot with that filesystem can not be made, checked or mounted.
pub fn refuse_unable(filesystem: Filesystem) -> Result<()> {
    tool::refuse_missing(filesystem.kind().programs)?;
    tool::refuse_missing(&[("unshare", "util-linux")])?;
    mount::refuse_unknown(filesystem)
}

/// Where a slot is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its name.
    pub slot: Slot,
    /// Its partition.
    pub region: Region,
    /// Its partition's GUID.
    pub partuuid: Uuid,
}

impl Place {
    /// The place of `slot` in its partition.
    pub fn new(slot: Slot, region: Region, guids: &Guids) -> Place {
        Place { slot, region, partuuid: guids.of(region) }
    }

    /// Refuses a partition that is too small for a filesystem of that kind.
    pub fn refuse_too_small_for(&self, filesystem: Filesystem) -> Result<()> {
        let smallest = filesystem.kind().smallest;
        if self.region.size < smallest.0 {
            let found = format!(
                "slot {} has {}; {filesystem} cannot be made in less than {smallest}",
                self.slot,
                Bytes(self.region.size)
            );
            return Err(refused(found, "give the slots a larger --slot-size, or choose --filesystem ext4"));
        }
        Ok(())
    }

    /// Fails if an image cannot fit: what is stored is hardly ever larger than what it unpacks to.
    pub fn refuse_larger(&self, image: &Image) -> Result<()> {
        if image.stored_bytes() > self.region.size {
            let found = format!(
                "{} has layers of {}, slot {} has {}",
                image.reference,
                Bytes(image.stored_bytes()),
                self.slot,
                Bytes(self.region.size)
            );
            return Err(refused(found, "give the slots a larger --slot-size, or the disk a larger --size"));
        }
        Ok(())
    }
}

/// A root filesystem that was made.
struct Made {
    filesystem: Filesystem,
    uuid: Uuid,
    features: Features,
}

/// A slot with an empty filesystem, mounted where only this process sees it.
pub struct Formatted {
    place: Place,
    made: Made,
    device: Loop,
    mount: Mount,
}

/// A slot that holds all of an image, every byte of it verified.
pub struct Filled {
    place: Place,
    made: Made,
    device: Loop,
    mount: Mount,
    root: Root,
    flushing: JoinHandle<std::io::Result<()>>,
    agent: Vec<String>,
    keep: Option<Vec<String>>,
}

/// A slot that is flushed, unmounted, checked, and may boot.
pub struct Sealed {
    /// Which slot.
    pub slot: Slot,
    /// What it holds and how it boots.
    pub record: Record,
}

impl Formatted {
    /// Makes a filesystem in the slot's partition, and mounts it.
    pub fn new(
        scratch: &Scratch,
        vacant: Vacant,
        place: Place,
        wanted: &SlotWish,
        progress: &Progress,
    ) -> Result<Formatted> {
        let _step = progress.step(Some(place.slot), "making the filesystem", None);
        let (device, ground) = vacant.take();
        let (filesystem, uuid) = (wanted.filesystem, Uuid::new_v4());
        let label = format!("slot-{}", place.slot);
        let new = New { label: &label, uuid, ground, options: &wanted.mkfs_options };
        filesystem.format(device.path(), &new)?;
        let features = made(device.path(), &new)?;
        let mount = Mount::filesystem(device.path(), filesystem, &scratch.directory(&label)?)?;
        Ok(Formatted { place, made: Made { filesystem, uuid, features }, device, mount })
    }

    /// Writes all layers of `image` in one pass; the next one is on its way while one is written.
    pub fn fill(self, image: &Image, progress: &Progress) -> Result<Filled> {
        let step = progress.step(Some(self.place.slot), "writing layers", Some(image.stored_bytes()));
        let root = Root::open(self.mount.place())?;
        let room = fstatvfs(root.fd())?;
        let budget = Budget { bytes: room.f_bavail.saturating_mul(room.f_frsize), entries: room.f_favail };
        image.apply_to(&mut MountedRoot::new(root)?, budget, step.counter())?;
        let Formatted { place, made, device, mount } = self;
        let root = Root::open(mount.place())?;
        // The disk writes the layers while dracut computes.
        let directory = root.fd().try_clone_to_owned()?;
        let flushing = thread::spawn(move || Ok(syncfs(directory)?));
        Ok(Filled { place, made, device, mount, root, flushing, agent: Vec::new(), keep: None })
    }
}

/// What was made on `device`. Fails if it is not what was asked for: a user's options can make mkfs
/// do nothing at all (`-n`), and what stood there before would be written to.
fn made(device: &Path, new: &New) -> Result<Features> {
    Features::read(device)?.filter(|features| features.uuid == new.uuid).ok_or_else(|| {
        let found = "the program that makes filesystems ended well, but did not make the one that was asked for";
        failed(found, "leave --mkfs-options away, or look what each of them does")
    })
}

impl Filled {
    /// Where the slot is mounted.
    pub fn path(&self) -> &Path {
        self.mount.place()
    }

    /// Says so if GRUB of this version may not read the slot.
    pub fn tell_if_unread(&self, grub: Version) {
        if let Some(why) = root_filesystem::unread(&self.made.features, grub) {
            crate::tell!("flipslot: slot {}: {why}", self.place.slot);
        }
    }

    /// Adds the agent, if it is wanted.
    pub fn add(&mut self, agent: Agent) -> Result<()> {
        self.agent = agent.install(&self.root).context("adding the agent")?;
        Ok(())
    }

    /// Carries files over from the running slot; returns which.
    pub fn carry(&mut self, keep: &Keep) -> Result<Vec<String>> {
        self.keep = Some(keep.patterns().to_vec());
        keep.carry(Path::new("/"), &self.root, Which::Running)
    }

    /// Finds the kernel, makes the initramfs and the command line. Fails if the image lacks what
    /// a boot needs, and says how to add it.
    pub fn entry(&self, scratch: &Scratch, wanted: &SlotWish, progress: &Progress) -> Result<Entry> {
        let _step = progress.step(Some(self.place.slot), "making the initramfs", None);
        let release = Release::of(&self.root)?;
        let kernels = requirements::check(&self.root, &release)?;
        let kernel = kernel::choose(&kernels, wanted.kernel(self.place.slot))?;
        let longest = kernel::check(&self.root, &kernel)?;
        root_filesystem::check(self.made.filesystem, &self.made.features, &kernel)?;
        let cmdline = Cmdline::new(
            self.place.slot,
            (self.place.partuuid, self.made.filesystem),
            &wanted.consoles,
            &wanted.kargs,
        )?;
        cmdline.check_length(longest)?;
        let start = initramfs::Wanted { hardware: wanted.hardware, filesystem: self.made.filesystem };
        let initramfs = initramfs::make(scratch, self.path(), &self.root, &kernel, start)?;
        Ok(Entry {
            title: release.title().to_owned(),
            partition: self.place.region.number,
            kernel_digest: self.digest_of(&kernel.path)?,
            initramfs_digest: self.digest_of(&initramfs)?,
            kernel,
            initramfs,
            cmdline,
        })
    }

    fn digest_of(&self, path: &str) -> Result<Digest> {
        let file = self.root.file(&LayerPath::clean(path.as_bytes())?)?;
        Digest::of_stream(file).with_context(|| format!("reading {path} of the slot"))
    }

    /// Flushes, unmounts and checks the slot; from here on it is not touched.
    pub fn seal(self, image: &Image, entry: Entry, hardware: Hardware, progress: &Progress) -> Result<Sealed> {
        let _step = progress.step(Some(self.place.slot), "flushing and checking", None);
        self.flushing
            .join()
            .map_err(|_| failed("flushing the slot stopped short", "run the command again"))?
            .context("flushing the slot")?;
        syncfs(self.root.fd()).context("flushing the slot")?;
        drop(self.root);
        self.mount.close()?;
        self.made.filesystem.check(self.device.path())?;
        let record = Record {
            version: 1,
            reference: image.reference.to_string(),
            digest: image.digest.clone(),
            entry,
            filesystem: self.made.filesystem,
            filesystem_uuid: self.made.uuid.to_string(),
            hardware,
            agent: self.agent,
            keep: self.keep,
            written: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()),
            flipslot: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(Sealed { slot: self.place.slot, record })
    }
}
