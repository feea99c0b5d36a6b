//! Checks a slot before a jump: it must be complete, and hold the bytes that were recorded.

use crate::boot::record::Record;
use crate::check::of_slot::OnDisk;
use crate::check::policy::Policy;
use crate::check::report::{Ask, Report};
use crate::check::subject::ImageFacts;
use crate::disk::installed::boot_files::Holding;
use crate::disk::installed::claim::Idle;
use crate::disk::installed::open::Disk;
use crate::error::{Kind, Result, refused};
use crate::filesystem::features::Features;
use crate::init::overlay::ROOT_OF_SLOT;
use crate::jump::watchdog::Heir;
use crate::layer::LayerPath;
use crate::mount::scratch::Scratch;
use crate::root::mounted::directory::Root;
use crate::words::digest::Digest;
use crate::words::slot::Slot;
use std::fs::File;

/// A slot that can be jumped into.
pub struct Ready {
    /// Name of the slot.
    pub slot: Slot,
    /// Record of what the slot holds.
    pub record: Record,
    /// Kernel of the slot, verified.
    pub kernel: File,
    /// Initramfs of the slot, verified.
    pub initramfs: File,
    /// The slot as the system that takes over this machine's watchdog.
    pub heir: Heir,
    /// Claim on the slot until the jump, so that nothing writes to it in the meantime.
    pub idle: Idle,
}

impl Ready {
    /// Examines `slot`. Refuses it if it is damaged in any way, and if it would not come up on this machine,
    /// unless `policy` allows that. Without a policy, the check for this machine is skipped: the slot was
    /// proven on it.
    pub fn check(scratch: &Scratch, disk: &Disk, slot: Slot, policy: Option<&Policy>) -> Result<Ready> {
        let idle = Idle::claim(disk, slot)?;
        let record = whole(slot, disk.files.holding(slot)?)?;
        let roots = ["root=PARTUUID=", "root=flipslot:PARTUUID="].map(|key| format!("{key}{}", idle.partuuid));
        let first = record.entry().cmdline.words().next().unwrap_or_default();
        let is_own = first == roots[0] || first.strip_prefix(&roots[1]).is_some_and(|rest| rest.starts_with('/'));
        if record.grub.partition != idle.region.number || !is_own {
            let found = format!("slot {slot} was written for a partition other than the one that the table has now");
            return Err(refused(found, flash_again(slot)));
        }
        let device = idle.attach()?;
        let place = scratch.directory(&format!("slot-{slot}"))?;
        let mount = record.filesystem()?.mount_as_grub_reads(device.path(), &place)?;
        let root = Root::open(mount.mount_point())?;
        let open = |path: &str, digest: &Digest| {
            let odd = |why: &str| {
                let found = format!("slot {slot} is damaged: {path} {why}; it would not boot as it was tested");
                refused(found, flash_again(slot))
            };
            let place = LayerPath::clean(path.as_bytes())?;
            let file = root.file(&place).map_err(|errno| odd(&format!("cannot be opened ({errno})")))?;
            // The descriptor that is hashed is the one that the kernel reads, from its beginning.
            match Digest::of_stream(&file) {
                Ok(found) if found == *digest => Ok(file),
                Ok(_) => Err(odd("does not match its recorded digest")),
                Err(error) => Err(odd(&format!("cannot be read ({error:#})"))),
            }
        };
        let image = open(&record.entry().kernel.path, &record.entry().kernel_digest)?;
        let initramfs = open(&record.entry().initramfs, &record.entry().initramfs_digest)?;
        if let Some(file) = &record.root {
            open(ROOT_OF_SLOT, &file.digest)?;
        }
        let facts = ImageFacts::of(&root, Some(&record.entry().kernel.version));
        let has = |driver: &str| match &record.root {
            Some(file) => file.watchdogs.iter().any(|known| known == driver),
            None => {
                let modules = facts.as_ref().ok().and_then(|facts| facts.modules.as_ref());
                modules.is_some_and(|modules| modules.place(driver).is_some())
            }
        };
        let heir = Heir::of(!record.agent.is_empty(), has);
        // The files of a root that is one file are not looked at again: they cannot change.
        if let (Some(policy), None) = (policy, &record.root) {
            let features = Features::read(device.path())?;
            let written = OnDisk::read(slot, &root, features, &record)?;
            refuse_hopeless(disk, &written, &facts?, &policy.allowing(&record.allowed))?;
        }
        // The two open files keep the filesystem mounted; it is released with them.
        drop(mount);
        Ok(Ready { slot, record, kernel: image, initramfs, heir, idle })
    }
}

/// Refuses a slot that would not come up on this machine. What was allowed when it was written is allowed now.
fn refuse_hopeless(disk: &Disk, written: &OnDisk, facts: &ImageFacts, policy: &Policy) -> Result<()> {
    let slot = written.slot;
    let machine = disk.machine();
    let report = Report::of(&disk.subject(written, facts, &machine)?, Ask::Slot, policy)?;
    let next = format!("write it again for this machine: flipslot flash REFERENCE --slot {slot} --hardware this");
    report.refuse_errors(&format!("slot {slot}"), Kind::Refused, &next)?;
    report.warnings(&Report::default()).for_each(|warning| crate::stderr!("flipslot: warning: slot {slot}: {warning}"));
    Ok(())
}

/// Returns the record of a slot that holds a complete image.
fn whole(slot: Slot, holding: Holding) -> Result<Record> {
    let found = match holding {
        Holding::Whole(record) => return Ok(*record),
        Holding::Nothing => format!("slot {slot} holds nothing"),
        Holding::Half => format!("slot {slot} is half written: a flash did not finish"),
        Holding::Damaged => format!("slot {slot} is damaged: its entry and its record do not match"),
    };
    Err(refused(found, flash_again(slot)))
}

fn flash_again(slot: Slot) -> String {
    format!("write it: flipslot flash REFERENCE --slot {slot}")
}
