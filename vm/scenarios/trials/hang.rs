//! The slot's init hangs: only the hardware watchdog, which was started before the jump, is left.

use super::fails_and_comes_back;
use crate::disks;
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};

#[test]
fn a_hang_ends_on_the_slot_that_worked() {
    // cat(1) as init reads from a console at which nobody types.
    let disk = disks::lasting("hang");
    disks::flash_b(&disk, &["--kargs=init=/usr/bin/cat"]);
    // Not q35, whose own watchdog (iTCO) does not reset QEMU 7.2 after a kexec.
    let more = ["-machine", "pc", "-device", "i6300esb"];
    let mut machine = Machine::start(&Setup { more: &more, ..Setup::lasting("hang", Firmware::Bios, &disk) });
    machine.comes_up('a');
    let switch = "cat /sys/class/watchdog/watchdog0/identity; flipslot switch --slot b --by kexec --deadline 60s";
    fails_and_comes_back(&mut machine, switch, "initrd-switch-root.service");
    assert!(machine.log().contains("i6300ESB"), "that is the watchdog");
}
