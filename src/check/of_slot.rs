//! A slot that is written, in the form that the rules check for a machine.

use crate::boot::record::Record;
use crate::check::subject::{Initramfs, Insight, Subject};
use crate::disk::installed::open::Disk;
use crate::error::{Result, hint};
use crate::filesystem::features::Features;
use crate::hardware::{Inventory, this_machine};
use crate::initramfs::source::MadeBy;
use crate::root::tree::Tree;
use crate::words::slot::Slot;

/// A slot's files, and its filesystem if it could be examined.
pub struct OnDisk<'d> {
    /// Name of the slot.
    pub slot: Slot,
    /// Files of the slot.
    pub tree: &'d dyn Tree,
    /// Facts that were read from the files.
    pub insight: &'d Insight,
    /// Features of its filesystem, if they could be read.
    pub features: Option<Features>,
    /// Record of the slot, with its boot entry.
    pub record: &'d Record,
}

impl Disk {
    /// Describes one of the disk's slots to the rules.
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

    /// Determines what this machine needs to boot from this disk. On failure prints the reason, and returns
    /// an inventory without devices.
    pub fn machine(&self) -> Inventory {
        this_machine(self.device()).unwrap_or_else(|error| {
            let next = hint(&error).map(|next| format!("; {next}")).unwrap_or_default();
            crate::tell!("flipslot: cannot determine the drivers that this machine needs: {error:#}{next}");
            Inventory::unknown()
        })
    }
}
