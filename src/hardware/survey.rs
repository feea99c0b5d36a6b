//! A survey of a machine: from its boot disks and its network cards to the root of the device tree.

use crate::error::{Result, refused};
use crate::hardware::Sysfs;
use crate::hardware::block::Block;
use crate::hardware::inventory::{Device, Inventory, Role, Storage, VERSION};
use std::collections::BTreeMap;
use std::path::PathBuf;

impl Sysfs {
    /// What the machine needs to boot from `disks`. `memory` is not told by sysfs, and whether kexec
    /// is switched off is not: see [`crate::hardware::this`]. Refuses a disk that hangs on no device:
    /// an initramfs for it would hold no driver, and not come up.
    pub fn inventory(&self, disks: &[Block]) -> Result<Inventory> {
        let disks = self.disks_below(disks)?;
        if disks.is_empty() {
            let found = "what this machine is said to boot from lies on no disk";
            return Err(refused(found, "name a disk of this machine with --disk, or take --hardware generic"));
        }
        let mut devices = BTreeMap::new();
        for disk in &disks {
            let above = self.devices_of(disk);
            if !above.values().any(is_hardware) {
                let found = format!(
                    "{} hangs on no device that a driver could be chosen for: \
                     it is in memory, in a file, or across a network",
                    disk.name()
                );
                return Err(refused(found, "name a disk of this machine with --disk, or take --hardware generic"));
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

    /// Whether all that `disk` lies on is hardware of this machine.
    pub fn is_hardware(&self, disk: &Block) -> bool {
        self.disks_below(std::slice::from_ref(disk))
            .is_ok_and(|disks| disks.iter().all(|disk| self.devices_of(disk).values().any(is_hardware)))
    }

    /// Parents sort before their children.
    fn devices_of(&self, disk: &Block) -> BTreeMap<PathBuf, Device> {
        self.ways(disk).iter().flat_map(|folder| self.devices_above(folder, Role::Boot)).collect()
    }
}

/// A SCSI disk says that it is a disk, also where a network is all that it hangs on (iSCSI).
fn is_hardware(device: &Device) -> bool {
    !device.modalias.starts_with("scsi:")
}
