//! `flipslot check`: predicts whether an image or a slot would come up on a machine. Nothing is written.

use crate::boot::cmdline::Cmdline;
use crate::check::fix as mend;
use crate::check::initramfs_choice::choose;
use crate::check::of_slot::OnDisk;
use crate::check::report::{Ask, Report};
use crate::check::subject::{Initramfs, Insight, Subject};
use crate::cli::{CheckArgs, WriteArgs};
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::claim::Idle;
use crate::disk::installed::open::Disk;
use crate::error::{Result, refused};
use crate::filesystem::features::Features;
use crate::initramfs::source::MadeBy;
use crate::mount::mounted::Mount;
use crate::mount::scratch::Scratch;
use crate::oci;
use crate::output::checked::{Checked, What};
use crate::progress::Progress;
use crate::request::config::Config;
use crate::request::slot::{Like, SlotWish};
use crate::root::memory::KeptTree;
use crate::root::memory::retention::rules_read;
use crate::root::mounted::directory::Root;
use crate::words::partuuid::PartUuid;
use crate::words::slot::Slot;
use anyhow::Context;
use std::path::Path;

/// Checks an image or a slot, and prints the findings. Fails if any of them is open.
pub fn run(args: &CheckArgs) -> Result<()> {
    let checked = match (&args.reference, &args.slot) {
        (Some(reference), _) => image(args, reference)?,
        (None, slot) => slot_of_disk(args, slot.as_deref().unwrap_or_default().parse()?)?,
    };
    checked.print(args.image.json)?;
    checked.refuse_unclean()
}

fn config(args: &CheckArgs) -> Result<Config> {
    Ok(args.image.config.as_deref().map(Config::read).transpose()?.unwrap_or_default())
}

/// Builds the request for a slot; options that are not given are those of `like`.
fn wish(args: &CheckArgs, config: &Config, like: Option<&Like>, disk: Option<&Path>) -> Result<SlotWish> {
    let untouched = WriteArgs { no_agent: true, ..WriteArgs::default() };
    SlotWish::of((&args.image, &untouched), config, like, disk)
}

/// Checks an image while its layers stream by.
fn image(args: &CheckArgs, reference: &str) -> Result<Checked> {
    let progress = Progress::new(args.image.progress);
    oci::trust::bundle_if_none()?;
    let wanted = wish(args, &config(args)?, None, None)?;
    let step = progress.step(None, "looking up the image", None);
    let image = oci::resolve(&reference.parse()?, &wanted.platform, &wanted.access)?;
    drop(step);
    let step = progress.step(None, "reading layers", Some(image.stored_bytes()));
    let mut tree = KeptTree::new(rules_read);
    image.apply_to(&mut tree, KeptTree::budget(), step.counter())?;
    drop(step);
    let slot = Slot::at(0).context("there is a first slot")?;
    let filesystem = wanted.filesystem(slot);
    let root = (PartUuid::NONE, filesystem);
    let cmdline = Cmdline::new(slot, root, &wanted.consoles, &wanted.kargs)?;
    let insight = Insight::of(&tree, wanted.kernel(slot))?;
    let mut subject = Subject::new(&tree, &insight, &wanted.inventory, cmdline);
    subject.filesystem = filesystem;
    subject.initramfs = insight.initramfs(&tree, wanted.initramfs)?;
    let chosen = choose(&subject, wanted.initramfs, &wanted.policy)?;
    subject.by_dracut = chosen.by == MadeBy::Dracut;
    if chosen.by == MadeBy::Dracut {
        subject.initramfs = Initramfs::ToBeMade;
    }
    let policy = wanted.policy.without_dracut();
    let first = Report::of(&subject, Ask::All, &policy)?;
    let words: Vec<String> = mend::by_words(&first, &subject).into_iter().flat_map(|mended| mended.words).collect();
    subject.cmdline = subject.cmdline.with(&words);
    let report = Report::of(&subject, Ask::All, &policy)?.after(first);
    Ok(Checked::new(What::Image, image.reference.to_string(), &subject, (chosen.by, chosen.why), report))
}

/// Checks a slot of a disk.
fn slot_of_disk(args: &CheckArgs, slot: Slot) -> Result<Checked> {
    let disk = Disk::open(args.disk.as_deref(), Access::Look)?;
    disk.refuse_unknown(slot)?;
    let holding = disk.files.holding(slot)?;
    let Some(record) = holding.record() else {
        let found = format!("slot {slot} of {} holds no complete image", disk.path.display());
        return Err(refused(found, format!("write it: flipslot flash REFERENCE --slot {slot}")));
    };
    let config = config(args)?;
    let is_here = disk.running.is_some() && args.image.hardware.is_none() && config.hardware.is_none();
    // A disk that this system does not run from boots on the machine that the slot was written for.
    let like = Some(Like { record: record.clone(), runs: false }).filter(|_| !is_here);
    let mut wanted = wish(args, &config, like.as_ref(), disk.device())?;
    if is_here {
        wanted.inventory = disk.machine();
    }
    let look = |root: &Root, features: Option<Features>| {
        let insight = Insight::of(root, Some(&record.entry.kernel.version))?;
        let written = OnDisk { slot, tree: root, insight: &insight, features, record };
        let subject = disk.subject(&written, &wanted.inventory)?;
        let report = Report::of(&subject, Ask::Slot, &wanted.policy.allowing(&record.allowed))?;
        let why = "it is what the slot boots with".to_owned();
        let name = format!("slot {slot} of {}", disk.path.display());
        Ok(Checked::new(What::Slot(slot), name, &subject, (record.initramfs_by, why), report))
    };
    if disk.running == Some(slot) {
        return look(&Root::open(Path::new("/"))?, None);
    }
    let scratch = Scratch::enter()?;
    let device = Idle::claim(&disk, slot)?.attach()?;
    let mount = Mount::as_grub_reads_it(device.path(), record.filesystem, &scratch.directory("check")?)?;
    let checked = look(&Root::open(mount.place())?, Features::read(device.path())?);
    mount.close()?;
    checked
}
