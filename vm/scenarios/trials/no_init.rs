//! The root has no init.

use super::ends_on_a;
use crate::disks;

#[test]
fn a_root_without_init_ends_on_the_slot_that_worked() {
    let prepare = |disk: &_| {
        disks::edit(disk, 'b', |root| {
            for init in ["usr/lib/systemd/systemd", "usr/sbin/init"] {
                std::fs::remove_file(root.join(init)).expect("Debian 13 has its init there");
            }
        });
    };
    // Without the word it would not even be tried.
    let switch = "flipslot switch --slot b --by kexec --allow init-missing";
    ends_on_a("no-init", prepare, switch, "flipslot: this slot has no init");
}
