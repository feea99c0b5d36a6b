//! The slot's init hangs: only the hardware watchdog, which was started before the jump, is left.

use super::{ends_on_a, fails_and_comes_back};
use crate::disks;
use crate::machine::{Machine, log};
use crate::setup::{Firmware, Setup};
use std::path::Path;

const SWITCH: &str = "cat /sys/class/watchdog/watchdog0/identity; flipslot switch --slot b --by kexec --deadline 60s";
/// The initramfs has done its part.
const EVIDENCE: &str = "initrd-switch-root.service";

/// cat(1) as init reads from a console at which nobody types.
fn with_cat_as_init(disk: &Path) {
    disks::flash_b(disk, &["--kargs=init=/usr/bin/cat"]);
}

#[test]
fn a_hang_ends_on_the_slot_that_worked() {
    ends_on_a("hang", with_cat_as_init, SWITCH, EVIDENCE);
    assert!(std::fs::read_to_string(log("hang")).is_ok_and(|log| log.contains("iTCO_wdt")), "that is the watchdog");
}

#[test]
#[ignore = "the watchdog of q35 does as much: make test-all"]
fn a_hang_with_another_watchdog_ends_on_the_slot_that_worked() {
    let disk = disks::lasting("hang-i6300esb");
    with_cat_as_init(&disk);
    // Not q35, which has a watchdog of its own.
    let more = ["-machine", "pc", "-device", "i6300esb"];
    let mut machine = Machine::start(&Setup { more: &more, ..Setup::lasting("hang-i6300esb", Firmware::Bios, &disk) });
    machine.comes_up('a');
    fails_and_comes_back(&mut machine, SWITCH, EVIDENCE);
    assert!(machine.log().contains("i6300ESB"), "that is the watchdog");
}
