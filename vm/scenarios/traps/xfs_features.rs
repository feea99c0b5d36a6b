//! The XFS is newer than the image's kernel. (mkfs.xfs makes large extent counters by itself since
//! xfsprogs 6.5; here it is told to, which 5.19 and newer understand.)

use super::Trap;
use crate::images;

pub fn trap() -> Trap {
    Trap {
        name: "xfs-features",
        layout: images::layout("bullseye"),
        more: &["--filesystem=xfs", "--mkfs-options=-i nrext64=1"],
        rule: "filesystem-kernel",
        found: "has features that kernel 5.10",
        sign: "Superblock has unknown incompatible features",
    }
}

#[test]
#[ignore = "tests/check finds it, fixed.rs boots it fixed: make test-all"]
fn an_xfs_that_is_newer_than_the_kernel_is_not_mounted() {
    trap().is_found_and_is_real();
}
