//! `flipslot check`: predicts whether an image or a slot would come up on a machine. Nothing is written.

use crate::boot::cmdline::Cmdline;
use crate::boot::initramfs_source::{MadeBy, Source};
use crate::boot::root_on::{LiveFormat, LiveSource, RootOn};
use crate::check::fix;
use crate::check::initramfs_choice::choose;
use crate::check::of_slot::OnDisk;
use crate::check::report::{Ask, Report};
use crate::check::subject::{ImageFacts, Initramfs, OLDEST_GRUB, Subject};
use crate::cli::{BootWay, CheckArgs, WriteArgs};
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::claim::Idle;
use crate::disk::installed::state_home::StateHome;
use crate::error::{Result, refused, usage};
use crate::filesystem::features::Features;
use crate::forms::netboot::delivery::unpacked_bytes;
use crate::mount::scratch::Scratch;
use crate::oci;
use crate::output::checked::{Checked, FailOn, Origin, What};
use crate::output::document::Format;
use crate::output::print::print;
use crate::progress::Progress;
use crate::request::config::Config;
use crate::request::slot::{ModelSlot, SlotFlags, SlotRequest};
use crate::root::memory::MemoryTree;
use crate::root::mounted::directory::Root;
use crate::words::digest::Digest;
use crate::words::partuuid::PartUuid;
use crate::words::slot::Slot;
use anyhow::Context;
use std::path::Path;

/// Checks an image or a slot, and prints the findings. Fails if an error is open, or with
/// `--strict` a warning.
pub fn run(args: &CheckArgs) -> Result<()> {
    let checked = match (&args.reference, &args.slot) {
        (Some(reference), _) => image(args, reference)?,
        (None, slot) => slot_of_disk(args, slot.as_deref().unwrap_or_default().parse()?)?,
    };
    print(&checked, Format::of(args.image.fetch.json))?;
    checked.refuse(FailOn::of(args.strict))
}

fn config(args: &CheckArgs) -> Result<Config> {
    Config::of(&args.image)
}

/// Builds the request for a slot; options that are not given are those of `model`.
fn request(args: &CheckArgs, config: &Config, model: Option<&ModelSlot>, disk: Option<&Path>) -> Result<SlotRequest> {
    let untouched = WriteArgs { no_agent: true, ..WriteArgs::default() };
    SlotRequest::of(SlotFlags { image: &args.image, write: &untouched }, config, model, disk)
}

/// Checks an image while its layers stream by.
fn image(args: &CheckArgs, reference: &str) -> Result<Checked> {
    let progress = Progress::new(args.image.fetch.progress);
    oci::trust::bundle_if_none()?;
    let mut request = request(args, &config(args)?, None, None)?;
    match (args.boot, args.format) {
        (BootWay::Netboot, _) => request = request.for_netboot()?,
        (BootWay::Slot, None) => {}
        (BootWay::Slot, Some(_)) => {
            let found = "--format is for images that boot from the network";
            return Err(usage(found, "add --boot netboot, or omit --format"));
        }
    }
    let step = progress.step(None, "looking up the image", None);
    let image =
        oci::resolve(&oci::registries::Conf::find()?.reference(reference)?, &request.platform, &request.access)?;
    drop(step);
    let step = progress.step(None, "reading layers", Some(image.stored_bytes()));
    let mut tree = MemoryTree::for_rules();
    image.apply_to(&mut tree, MemoryTree::budget(), step.counter())?;
    drop(step);
    // An image is on no disk yet: the first slot is as good as any.
    let slot = Slot::at(0).context("there is a first slot")?;
    let (slot, on) = match args.boot {
        BootWay::Slot => {
            (Some(slot), RootOn::Partition { partuuid: PartUuid::NONE, filesystem: request.filesystem(slot) })
        }
        BootWay::Netboot => (None, from_network(args.format.unwrap_or(LiveFormat::Squashfs), request.initramfs)),
    };
    let cmdline = Cmdline::new(slot, &on, &request.consoles, &request.kargs)?;
    let facts = ImageFacts::of(&tree, request.kernel(slot))?;
    let own = facts.initramfs(&tree, request.initramfs)?;
    // A layer is about as large as the same files in a squashfs.
    let in_memory = match (args.boot, on.filesystem_name()) {
        (BootWay::Slot, _) => None,
        (BootWay::Netboot, Some(_)) => Some(image.stored_bytes()),
        (BootWay::Netboot, None) => Some(unpacked_bytes(&tree)?),
    };
    let subject = Subject {
        tree: &tree,
        facts: &facts,
        inventory: &request.inventory,
        cmdline,
        on,
        features: None,
        grub: OLDEST_GRUB,
        names: None,
        in_memory,
        initramfs: &own,
    };
    let chosen = choose(&subject, request.initramfs, &request.policy)?;
    let boots = if chosen.by == MadeBy::Image { &own } else { &Initramfs::ToBeMade };
    let subject = Subject { initramfs: boots, ..subject };
    let policy = request.policy.without_remaking();
    let first = Report::of(&subject, Ask::All, &policy)?;
    let words: Vec<String> = fix::by_words(&first, &subject).into_iter().flat_map(|fixed| fixed.words).collect();
    let subject = Subject { cmdline: subject.cmdline.clone().with(&words), ..subject };
    let report = Report::of(&subject, Ask::All, &policy)?.after(first);
    let initramfs = Origin { by: chosen.by.into(), why: chosen.why };
    Ok(Checked::new(What::Image, image.reference.to_string(), &subject, initramfs, report))
}

/// Returns a root that comes over the network: its address and digest are not known, and no rule asks for them.
fn from_network(format: LiveFormat, initramfs: Source) -> RootOn {
    let url = "http://SERVER/root".to_owned();
    let from = match initramfs {
        Source::Dracut => LiveSource::Livenet { url },
        _ => LiveSource::Url { url, digest: Digest::of(b""), made: 0 },
    };
    RootOn::Live { format, from }
}

/// Checks a slot of a disk.
fn slot_of_disk(args: &CheckArgs, slot: Slot) -> Result<Checked> {
    let disk = StateHome::find(args.disk.as_deref(), Access::Look)?.disk()?;
    disk.refuse_unknown(slot)?;
    let holding = disk.files.holding(slot)?;
    let Some(record) = holding.record() else {
        let found = format!("slot {slot} of {} holds no complete image", disk.path.display());
        return Err(refused(found, format!("write it: flipslot flash REFERENCE --slot {slot}")));
    };
    if record.root.is_some() {
        return Err(refused(
            format!("the root of slot {slot} is one file: it was judged when it was written, and cannot change"),
            format!("check its image for this machine: flipslot check {} --hardware this", record.reference),
        ));
    }
    let config = config(args)?;
    let is_here = disk.running.is_some() && args.image.hardware.is_none() && config.hardware.is_none();
    // A disk that this system does not run from boots on the machine that the slot was written for.
    let model = Some(ModelSlot { record: record.clone(), runs: false }).filter(|_| !is_here);
    let mut request = request(args, &config, model.as_ref(), disk.device())?;
    if is_here {
        request.inventory = disk.machine();
    }
    let look = |root: &Root, features: Option<Features>| {
        let facts = ImageFacts::of(root, Some(&record.entry().kernel.version))?;
        let written = OnDisk::read(slot, root, features, record)?;
        let subject = disk.subject(&written, &facts, &request.inventory)?;
        let report = Report::of(&subject, Ask::Slot, &request.policy.allowing(&record.allowed))?;
        let initramfs = Origin { by: record.initramfs_by.clone(), why: "it is what the slot boots with".to_owned() };
        let name = format!("slot {slot} of {}", disk.path.display());
        Ok(Checked::new(What::Slot(slot), name, &subject, initramfs, report))
    };
    if disk.running == Some(slot) {
        return look(&Root::open(Path::new("/"))?, None);
    }
    let scratch = Scratch::enter()?;
    let device = Idle::claim(&disk, slot)?.attach()?;
    let mount = record.filesystem()?.mount_as_grub_reads(device.path(), &scratch.directory("check")?)?;
    let checked = look(&Root::open(mount.mount_point())?, Features::read(device.path())?);
    mount.close()?;
    checked
}
