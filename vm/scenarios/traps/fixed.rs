//! What `--fix` leaves comes up.

use super::{comes_up, default_target, flags, getty, start, virtio_missing, xfs_features, xfs_missing};
use crate::images;

#[test]
fn two_traps_that_were_fixed_together_come_up() {
    let puts = [&getty::MASKS[..], &[default_target::LINK]].concat();
    let layout = images::with_layer(&images::layout("bookworm"), "fixed", &puts);
    comes_up(start("fixed", &layout, &flags(&["--fix=getty,default-target"])));
}

#[test]
#[ignore = "six boots: make test-all"]
fn each_trap_that_was_fixed_comes_up_and_an_initramfs_without_virtio_finds_no_root() {
    // The others are seen to be real in `make test`; here xfs_missing.rs and matrix.rs do as much.
    let virtio_missing = virtio_missing::trap();
    virtio_missing.is_found_and_is_real();
    virtio_missing.is_fixed();
    for trap in [default_target::trap(), getty::trap(), xfs_features::trap(), xfs_missing::trap()] {
        trap.is_fixed();
    }
}
