//! A slot that is written, in the form that the rules check for a machine.

use crate::boot::initramfs_source::MadeBy;
use crate::boot::record::Record;
use crate::boot::root_on::RootOn;
use crate::check::subject::{ImageFacts, Initramfs, OLDEST_GRUB, Subject};
use crate::disk::installed::open::Disk;
use crate::error::{Result, hint};
use crate::filesystem::features::Features;
use crate::hardware::{Inventory, this_machine};
use crate::root::tree::Tree;
use crate::words::slot::Slot;

/// A slot's files, and its filesystem if it could be examined.
pub struct OnDisk<'d> {
    /// Name of the slot.
    pub slot: Slot,
    tree: &'d dyn Tree,
    features: Option<Features>,
    record: &'d Record,
    initramfs: Initramfs,
}

impl<'d> OnDisk<'d> {
    /// Reads the initramfs that a slot boots with. `features` are those of its filesystem, if they could be read.
    pub fn read(slot: Slot, tree: &'d dyn Tree, features: Option<Features>, record: &'d Record) -> Result<OnDisk<'d>> {
        // An initramfs that a later flipslot made is like the image's own: only dracut could make another.
        let by = record.initramfs_by.known().copied().unwrap_or(MadeBy::Image);
        let initramfs = Initramfs::read(tree, record.entry().initramfs.clone(), by)?;
        Ok(OnDisk { slot, tree, features, record, initramfs })
    }
}

impl Disk {
    /// Describes one of the disk's slots to the rules.
    pub fn subject<'s>(
        &self,
        written: &'s OnDisk,
        facts: &'s ImageFacts,
        inventory: &'s Inventory,
    ) -> Result<Subject<'s>> {
        let (_, partuuid) = self.table.slots[&written.slot];
        Ok(Subject {
            tree: written.tree,
            facts,
            inventory,
            cmdline: written.record.entry().cmdline.clone(),
            on: RootOn::Partition { partuuid, filesystem: written.record.filesystem()? },
            features: written.features.clone(),
            grub: OLDEST_GRUB,
            names: Some(self.partition_names(written.slot)?),
            in_memory: None,
            initramfs: &written.initramfs,
        })
    }

    /// Determines what this machine needs to boot from this disk. On failure prints the reason, and returns
    /// an inventory without devices.
    pub fn machine(&self) -> Inventory {
        this_machine(self.device()).unwrap_or_else(|error| {
            let next = hint(&error).map(|next| format!("; {next}")).unwrap_or_default();
            crate::stderr!("flipslot: cannot determine the drivers that this machine needs: {error:#}{next}");
            Inventory::unknown()
        })
    }
}
