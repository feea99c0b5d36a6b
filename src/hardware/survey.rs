//! The survey of a machine: from its boot disks and its network cards to the root of the device tree.

use crate::error::{Result, refused};
use crate::hardware::Sysfs;
use crate::hardware::block::Block;
use crate::hardware::inventory::{Device, Inventory, Role, Storage, VERSION};
use std::collections::BTreeMap;
use std::path::PathBuf;

impl Sysfs {
    /// Collects what the machine needs to boot from `disks`. Sysfs gives neither `memory` nor `guest`, nor
    /// does it say if kexec is switched off: see [`crate::hardware::this`]. Refuses a disk that is attached to
    /// no device: an initramfs for it would hold no driver, and would not come up.
    pub fn inventory(&self, disks: &[Block]) -> Result<Inventory> {
        let disks = self.disks_below(disks)?;
        if disks.is_empty() {
            let found = "this machine's boot filesystem is not on a disk";
            return Err(refused(found, "name a disk of this machine with --disk, or use --hardware generic"));
        }
        let mut devices = BTreeMap::new();
        for disk in &disks {
            let above = self.devices_of(disk);
            if !above.values().any(is_hardware) {
                let found = format!(
                    "{} is not attached to a device that a driver could be chosen for: \
                     it is in memory, in a file, or across a network",
                    disk.name()
                );
                return Err(refused(found, "name a disk of this machine with --disk, or use --hardware generic"));
            }
            devices.extend(above);
        }
        for card in self.cards() {
            for (place, device) in self.devices_above(&card, Role::Network) {
                devices.entry(place).or_insert(device);
            }
        }
        Ok(Inventory {
            version: VERSION,
            machine: self.machine(),
            guest: false,
            firmware: self.firmware(),
            storage: Storage::Listed,
            devices: devices.into_values().collect(),
            disks: disks.iter().map(|disk| self.facts(disk)).collect::<Result<_>>()?,
            consoles: self.consoles(),
            memory: None,
            kexec: Some(self.has_kexec()),
            watchdogs: self.watchdogs(),
        })
    }

    /// Returns true if everything that `disk` is on is hardware of this machine.
    pub fn is_hardware(&self, disk: &Block) -> bool {
        self.disks_below(std::slice::from_ref(disk))
            .is_ok_and(|disks| disks.iter().all(|disk| self.devices_of(disk).values().any(is_hardware)))
    }

    /// Collects the devices above a disk by path: parents sort before their children.
    fn devices_of(&self, disk: &Block) -> BTreeMap<PathBuf, Device> {
        self.ways(disk).iter().flat_map(|folder| self.devices_above(folder, Role::Boot)).collect()
    }
}

/// Returns false for a SCSI disk itself, which has a modalias even if it is attached only to a network
/// (iSCSI).
fn is_hardware(device: &Device) -> bool {
    !device.modalias.starts_with("scsi:")
}
