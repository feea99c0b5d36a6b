//! The image's initramfs was made for a root on ext4, and the slot has XFS.

use super::{Trap, with_initramfs_for};
use crate::inventories;

pub fn trap() -> Trap {
    Trap {
        name: "xfs-missing",
        layout: with_initramfs_for(inventories::virtio_alone(), "xfs-missing"),
        more: &["--initramfs=image", "--filesystem=xfs"],
        rule: "driver-root",
        found: "the initramfs has no driver for xfs",
        sign: "unknown filesystem type 'xfs'",
    }
}

#[test]
#[ignore = "virtio_missing.rs lacks a driver, too: make test-all"]
fn an_initramfs_without_xfs_cannot_mount_its_root() {
    trap().is_found_and_is_real();
}
