//! Which machine an initramfs is for: the drivers that it must bring to find its root.

use crate::boot::kernel::{self, Kernel};
use crate::error::Result;
use crate::filesystem::Tree;
use anyhow::Context;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A named profile of hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Hardware {
    /// QEMU and what runs on it: virtio, AHCI, NVMe; a serial console.
    Qemu,
    /// Every storage driver that the slot's kernel has, and processor microcode.
    #[default]
    Generic,
}

/// The kernel modules that put a disk before a QEMU guest: virtio (PCI and MMIO), AHCI and its
/// disks, NVMe. What a kernel has built in, or does not have, dracut passes over.
const QEMU: [&str; 9] =
    ["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "ahci", "ata_piix", "sd_mod", "nvme", "virtio_console"];

/// The folders below a kernel's `kernel/` where its drivers for disks, and for what disks hang on,
/// are; and keyboards, for who must look why a machine does not come up.
const STORAGE: [&str; 16] = [
    "drivers/ata/",
    "drivers/block/",
    "drivers/hid/hid-generic",
    "drivers/hid/usbhid/",
    "drivers/hv/",
    "drivers/memstick/",
    "drivers/message/fusion/",
    "drivers/mmc/",
    "drivers/nvdimm/",
    "drivers/nvme/host/",
    "drivers/pci/controller/",
    "drivers/scsi/",
    "drivers/ufs/",
    "drivers/usb/host/",
    "drivers/usb/storage/",
    "drivers/virtio/",
];
/// More bytes than any modules.dep has; Debian 13's has half a megabyte.
const MODULES_DEP_MAX: u64 = 16 << 20;

impl Hardware {
    /// The modules that the initramfs gets, besides the root filesystem's. dracut's own search
    /// for storage drivers unpacks every module of the kernel to look at its symbols: 5 s on
    /// Debian 13, whose modules are compressed with xz. Their folders say the same.
    pub fn drivers(self, root: &dyn Tree, kernel: &Kernel) -> Result<Vec<String>> {
        if self == Hardware::Qemu {
            return Ok(QEMU.iter().map(ToString::to_string).collect());
        }
        let folder = kernel::modules(root, kernel).context("finding the kernel's modules")?;
        let modules_dep = root.read(&format!("{folder}/modules.dep"), MODULES_DEP_MAX)?;
        Ok(storage_drivers(&modules_dep.unwrap_or_default()))
    }

    /// Consoles that this hardware has for sure.
    pub fn consoles(self) -> &'static [&'static str] {
        match self {
            Hardware::Qemu => &["ttyS0"],
            Hardware::Generic => &[],
        }
    }
}

/// The names of the storage drivers that a modules.dep lists (modules.dep(5)).
fn storage_drivers(modules_dep: &str) -> Vec<String> {
    let paths = modules_dep.lines().filter_map(|line| line.split(':').next());
    let storage = paths.filter(|path| STORAGE.iter().any(|folder| path.contains(folder)));
    let names = storage.filter_map(|path| path.rsplit('/').next()?.split(".ko").next());
    names.map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_drivers_are_told_by_their_folders() {
        let modules_dep = "kernel/drivers/ata/ahci.ko.xz: kernel/drivers/ata/libahci.ko.xz\n\
                           kernel/drivers/nvme/host/nvme-core.ko:\n\
                           updates/drivers/scsi/megaraid/megaraid_sas.ko.zst:\n\
                           kernel/drivers/net/ethernet/intel/e1000/e1000.ko:\n\
                           kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko\n";
        assert_eq!(storage_drivers(modules_dep), ["ahci", "nvme_core", "megaraid_sas"]);
    }
}
