//! Which machine an initramfs is for: the drivers that it must bring to find its root.

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

impl Hardware {
    /// The modules that the initramfs gets, besides the root filesystem's; `None` for all that
    /// dracut takes for storage.
    pub fn drivers(self) -> Option<&'static [&'static str]> {
        match self {
            Hardware::Qemu => Some(&QEMU),
            Hardware::Generic => None,
        }
    }

    /// Consoles that this hardware has for sure.
    pub fn consoles(self) -> &'static [&'static str] {
        match self {
            Hardware::Qemu => &["ttyS0"],
            Hardware::Generic => &[],
        }
    }
}
