//! The slot's init hangs: only the hardware watchdog, which was started before the jump, is left.

use super::ends_on_a_with;
use crate::disks;

#[test]
fn a_hang_ends_on_the_slot_that_worked() {
    // cat(1) as init reads from a console at which nobody types.
    let prepare = |disk: &_| disks::flash_b(disk, &["--kargs=init=/usr/bin/cat"]);
    // Not q35, which has a watchdog of its own.
    let more = ["-machine", "pc", "-device", "i6300esb"];
    let switch = "cat /sys/class/watchdog/watchdog0/identity; flipslot switch --slot b --by kexec --deadline 80s";
    let machine = ends_on_a_with("hang", &more, prepare, switch, "initrd-switch-root.service");
    assert!(machine.log().contains("i6300ESB"), "that is the watchdog");
}
