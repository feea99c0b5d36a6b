//! The image's initramfs was made on a machine with a disk on AHCI.

use super::{Trap, with_initramfs_for};
use crate::inventories;

pub fn trap() -> Trap {
    Trap {
        name: "virtio-missing",
        layout: with_initramfs_for(inventories::ahci_alone(), "virtio-missing"),
        more: &["--initramfs=image"],
        rule: "driver-missing",
        found: "virtio_blk is only in the root filesystem",
        sign: "Timed out waiting for device",
    }
}

#[test]
fn an_initramfs_without_virtio_is_found() {
    trap().is_found();
}
