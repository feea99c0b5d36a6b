//! The kernel panics in the initramfs.

use super::ends_on_a;
use crate::disks;

#[test]
fn a_panic_in_the_initramfs_ends_on_the_slot_that_worked() {
    // With no init in the initramfs, the kernel looks for a root by itself, and panics.
    let prepare = |disk: &_| disks::flash_b(disk, &["--kargs=rdinit=/nothing"]);
    ends_on_a("panic", prepare, "flipslot switch --slot b --by kexec", "Kernel panic - not syncing");
}
