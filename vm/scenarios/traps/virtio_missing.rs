//! The image's initramfs was made on a machine with a disk on AHCI.

use super::{Trap, with_initramfs_for};
use crate::inventories;
use std::path::Path;

#[test]
fn an_initramfs_without_virtio_is_found() {
    let layout = with_initramfs_for(inventories::ahci_alone(), "virtio-missing");
    trap("virtio-missing", &layout).is_found("virtio_blk is only in the root filesystem");
}

#[test]
#[ignore = "xfs_missing.rs boots an image's own initramfs, and matrix.rs lacks the driver: make test-all"]
fn an_initramfs_without_virtio_finds_no_root() {
    let layout = with_initramfs_for(inventories::ahci_alone(), "virtio-real");
    trap("virtio-real", &layout).is_real_and_is_mended();
}

fn trap<'t>(name: &'t str, layout: &'t Path) -> Trap<'t> {
    let (rule, sign) = ("driver-missing", "Timed out waiting for device");
    Trap { name, layout, more: &["--initramfs=image"], rule, sign }
}
