//! The power goes while a flash writes layers: after the slot was withdrawn, before it is published.

use crate::machine::Machine;
use crate::registry::{NETWORK, Registry, bring_network_up};
use crate::saved;
use crate::setup::{Firmware, Setup};

/// The start of what `flipslot status --json` says of slot b.
fn status_of_b(machine: &mut Machine) -> serde_json::Value {
    let said = machine.run("flipslot status --json");
    let status: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    status["slots"][1].clone()
}

#[test]
fn a_power_cut_in_a_flash_leaves_the_slot_that_worked_and_a_slot_that_can_be_flashed_again() {
    let registry = Registry::start();
    let flash = format!("flipslot flash {} --slot b --initramfs flipslot --progress plain", registry.debian_13());
    let disk = saved::disk("flash-cut");
    let mut machine = saved::resume("flash-cut", &disk);
    assert_eq!(status_of_b(&mut machine)["holds"], "image");
    bring_network_up(&mut machine);
    machine.press(&format!("{flash}\n"));
    machine.wait_for("layers are being written", "writing layers (");
    drop(machine); // QEMU is killed

    let setup = Setup { more: &NETWORK, ..Setup::lasting("flash-cut", Firmware::Bios, &disk) };
    let mut machine = Machine::start(&setup);
    machine.wait_for("GRUB boots the slot that worked", "flipslot: booting slot a");
    machine.comes_up('a');
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    let status = machine.run("flipslot status");
    assert!(status.contains("half written: flash it again"), "{status}");
    assert!(status.contains("the next reset boots slot a, which is proven"), "{status}");
    assert_eq!(status_of_b(&mut machine)["holds"], "half");
    let said = machine.run("flipslot switch --slot b; echo code $?");
    assert!(said.contains("code 3"), "no jump into it: {said}");

    bring_network_up(&mut machine);
    machine.press(&format!("{flash}; echo co''de $?\n"));
    machine.wait_for("a flash again succeeds", "code 0");
    assert_eq!(status_of_b(&mut machine)["holds"], "image");
    let said = machine.run("flipslot switch --slot b --dry-run; echo code $?");
    assert!(said.contains("would jump from slot a into slot b") && said.contains("code 0"), "{said}");
}
