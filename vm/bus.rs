//! What a machine's disk hangs on.

use std::fmt;

/// A controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bus {
    VirtioBlk,
    VirtioScsi,
    Ahci,
    Nvme,
    /// LSI 53C895A, which SeaBIOS and OVMF both boot from (OVMF does not from LSI's megasas).
    Lsi,
    Usb,
}

impl Bus {
    /// Every one.
    pub const ALL: [Bus; 6] = [Bus::VirtioBlk, Bus::VirtioScsi, Bus::Ahci, Bus::Nvme, Bus::Lsi, Bus::Usb];

    /// QEMU's devices from the machine to the disk; the disk itself is the drive `disk`.
    pub fn devices(self) -> &'static [&'static str] {
        match self {
            Bus::VirtioBlk => &["virtio-blk-pci,drive=disk,bootindex=1"],
            Bus::VirtioScsi => &["virtio-scsi-pci", "scsi-hd,drive=disk,bootindex=1"],
            // q35 has the controller by itself.
            Bus::Ahci => &["ide-hd,bus=ide.0,drive=disk,bootindex=1"],
            Bus::Nvme => &["nvme,serial=flipslot,drive=disk,bootindex=1"],
            Bus::Lsi => &["lsi53c895a", "scsi-hd,drive=disk,bootindex=1"],
            Bus::Usb => &["qemu-xhci", "usb-storage,drive=disk,bootindex=1"],
        }
    }

    /// What Linux calls a partition of the first disk there, without its number.
    pub fn first_partition_prefix(self) -> &'static str {
        match self {
            Bus::VirtioBlk => "/dev/vda",
            Bus::Nvme => "/dev/nvme0n1p",
            Bus::VirtioScsi | Bus::Ahci | Bus::Lsi | Bus::Usb => "/dev/sda",
        }
    }

    /// The module of Linux that drives the controller, and no other one of these.
    pub fn driver(self) -> &'static str {
        match self {
            Bus::VirtioBlk => "virtio_blk",
            Bus::VirtioScsi => "virtio_scsi",
            Bus::Ahci => "ahci",
            Bus::Nvme => "nvme",
            Bus::Lsi => "sym53c8xx",
            Bus::Usb => "usb_storage",
        }
    }
}

impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bus::VirtioBlk => "virtio-blk",
            Bus::VirtioScsi => "virtio-scsi",
            Bus::Ahci => "ahci",
            Bus::Nvme => "nvme",
            Bus::Lsi => "lsi",
            Bus::Usb => "usb",
        })
    }
}
