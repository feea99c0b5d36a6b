//! Profiles: inventories of kinds of machines, compiled into the program (from `hardware/`).

use crate::error::Result;
use crate::hardware::Inventory;

/// A kind of machine that the program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// QEMU and what runs on it: virtio, AHCI, IDE, NVMe; a serial console.
    Qemu,
    /// Any machine: every storage driver that the slot's kernel has.
    Generic,
}

impl Profile {
    /// Returns the profile's name as `--hardware` accepts it.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Qemu => "qemu",
            Profile::Generic => "generic",
        }
    }

    /// Reads what such a machine needs, or may need, to boot.
    pub fn inventory(self) -> Result<Inventory> {
        let text = match self {
            Profile::Qemu => include_str!("../../hardware/qemu.json"),
            Profile::Generic => include_str!("../../hardware/generic.json"),
        };
        Inventory::parse(text, &format!("the profile {}", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::inventory::{Role, Storage};
    use std::collections::BTreeSet;

    #[test]
    fn qemu_lists_what_its_machines_may_have() {
        let qemu = Profile::Qemu.inventory().unwrap();
        assert_eq!((qemu.storage, qemu.consoles), (Storage::Listed, vec!["ttyS0".to_owned()]));
        assert!(qemu.devices.iter().all(|device| device.role == Role::Possible && device.module.is_some()));
        let paths: BTreeSet<&str> = qemu.devices.iter().map(|device| device.path.as_str()).collect();
        assert_eq!(paths.len(), qemu.devices.len(), "a path twice");
        for class in ["bc01sc06i01", "bc01sc08i02", "virtio:d00000002v", "acpi:LNRO0005:", "scsi:t-0x00"] {
            assert!(qemu.devices.iter().any(|device| device.modalias.contains(class)), "{class}");
        }
    }

    #[test]
    fn generic_takes_every_driver_and_knows_nothing_else() {
        let generic = Profile::Generic.inventory().unwrap();
        assert_eq!(generic.storage, Storage::EveryDriver);
        assert!(generic.devices.is_empty() && generic.consoles.is_empty() && generic.disks.is_empty());
    }
}
