//! The slot's init hangs: what was started before it is left, a hardware watchdog or the initramfs's own keeper.

use super::{ends_on_a, fails_and_comes_back};
use crate::disks;
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};

#[test]
fn a_hang_ends_on_the_slot_that_worked() {
    // cat(1) as init reads from a console at which nobody types.
    let disk = disks::lasting("hang");
    disks::flash_b(&disk, &["--kargs=init=/usr/bin/cat", "--initramfs=dracut"]);
    // Not q35, whose own watchdog (iTCO) does not reset QEMU 7.2 after a kexec.
    let more = ["-machine", "pc", "-device", "i6300esb"];
    let mut machine = Machine::start(&Setup { more: &more, ..Setup::lasting("hang", Firmware::Bios, &disk) });
    machine.comes_up('a');
    let switch = "cat /sys/class/watchdog/watchdog0/identity; flipslot switch --slot b --by kexec --deadline 60s";
    fails_and_comes_back(&mut machine, switch, "initrd-switch-root.service");
    assert!(machine.log().contains("i6300ESB"), "that is the watchdog");
}

#[test]
fn a_hang_without_a_watchdog_ends_by_the_keeper_of_the_initramfs() {
    let prepare = |disk: &_| disks::flash_b(disk, &["--kargs=init=/usr/bin/cat"]);
    let switch = "flipslot switch --slot b --by kexec --deadline 60s";
    ends_on_a("hang-keeper", prepare, switch, "the trial was not confirmed within 60 s: the machine is reset");
}
