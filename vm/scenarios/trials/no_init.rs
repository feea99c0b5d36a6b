//! The root has no init.

use super::ends_on_a;
use crate::disks;
use std::path::Path;

/// Takes the init of slot b away.
fn without_init(disk: &Path) {
    disks::edit(disk, 'b', |root| {
        for init in ["usr/lib/systemd/systemd", "usr/sbin/init"] {
            std::fs::remove_file(root.join(init)).expect("Debian 13 has its init there");
        }
    });
}

/// Without the word it would not even be tried.
const SWITCH: &str = "flipslot switch --slot b --by kexec --allow init-missing";

#[test]
fn a_root_without_init_ends_on_the_slot_that_worked() {
    ends_on_a("no-init", without_init, SWITCH, "flipslot: the root has no init");
}

#[test]
#[ignore = "the one above looks in flipslot's own initramfs: make test-all"]
fn a_root_in_which_dracut_finds_no_init_ends_on_the_slot_that_worked() {
    let prepare = |disk: &Path| {
        disks::flash_b(disk, &["--initramfs=dracut"]);
        without_init(disk);
    };
    ends_on_a("no-init-dracut", prepare, SWITCH, "flipslot: this slot has no init");
}
