//! The initramfs does not find its root.

use super::ends_on_a;
use crate::disks;

#[test]
fn a_root_that_is_not_found_ends_on_the_slot_that_worked() {
    let prepare = |disk: &_| disks::flash_b(disk, &["--kargs=rd.driver.blacklist=virtio_blk"]);
    let switch = "flipslot switch --slot b --by kexec --deadline 60s";
    ends_on_a("no-root", prepare, switch, "flipslot: waiting for root=PARTUUID=");
}

#[test]
#[ignore = "the one above waits in flipslot's own initramfs: make test-all"]
fn a_root_that_dracut_does_not_find_ends_on_the_slot_that_worked() {
    let prepare = |disk: &_| disks::flash_b(disk, &["--kargs=rd.driver.blacklist=virtio_blk", "--initramfs=dracut"]);
    let switch = "flipslot switch --slot b --by kexec --deadline 60s";
    ends_on_a("no-root-dracut", prepare, switch, "flipslot: no root after 60 s");
}
