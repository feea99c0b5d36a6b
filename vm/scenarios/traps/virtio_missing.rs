//! The image's initramfs was made on a machine with a disk on AHCI.

use super::{Trap, with_initramfs_for};
use crate::inventories;

#[test]
fn an_initramfs_without_virtio_finds_no_root() {
    Trap {
        name: "virtio-missing",
        layout: &with_initramfs_for(inventories::ahci_alone(), "virtio-missing"),
        more: &["--initramfs=image"],
        rule: "driver-missing",
        sign: "Timed out waiting for device",
    }
    .is_found_is_real_and_is_mended("virtio_blk is only in the root filesystem");
}
