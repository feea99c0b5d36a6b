//! What the rules say of a slot that is written, on a machine.

use crate::boot::initramfs::MadeBy;
use crate::boot::record::Record;
use crate::check::subject::{Initramfs, Insight, Subject};
use crate::disk::installed::Disk;
use crate::error::{Result, hint};
use crate::filesystem::Tree;
use crate::filesystem::features::Features;
use crate::hardware::{Inventory, this_machine};
use crate::slot::Slot;

/// A slot's files, and its filesystem where it could be looked at.
pub struct OnDisk<'d> {
    /// Which slot.
    pub slot: Slot,
    /// Its files.
    pub tree: &'d dyn Tree,
    /// What they say.
    pub insight: &'d Insight,
    /// Its filesystem.
    pub features: Option<Features>,
    /// How it boots.
    pub record: &'d Record,
}

impl Disk {
    /// One of its slots, as the rules see it.
    pub fn subject<'s>(&self, written: &OnDisk<'s>, inventory: &'s Inventory) -> Result<Subject<'s>> {
        let entry = &written.record.entry;
        let mut subject = Subject::new(written.tree, written.insight, inventory, entry.cmdline.clone());
        subject.filesystem = written.record.filesystem;
        subject.features.clone_from(&written.features);
        subject.disk = Some(self.surroundings(written.slot)?);
        subject.by_dracut = written.record.initramfs_by == MadeBy::Dracut;
        subject.initramfs = Initramfs::read(written.tree, entry.initramfs.clone())?;
        Ok(subject)
    }

    /// What this machine needs to boot from this disk. Where that cannot be told, nothing is known of its
    /// devices, and this is said.
    pub fn machine(&self) -> Inventory {
        this_machine(self.device()).unwrap_or_else(|error| {
            let next = hint(&error).map(|next| format!("; {next}")).unwrap_or_default();
            crate::tell!("flipslot: the drivers that this machine needs are not known: {error:#}{next}");
            Inventory::unknown()
        })
    }
}
