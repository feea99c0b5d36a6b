//! Trials that fail. Each ends on the slot that worked, with nobody touching the machine.

mod deadline;
mod hang;
mod kernel_gone;
mod no_init;
mod no_root;
mod panic;
mod power_cut;
mod unhealthy;

use crate::disks;
use crate::machine::{Firmware, Machine, Setup};
use std::path::Path;

/// Jumps from slot a into slot b with `switch`, which fails there: `evidence` is what the serial
/// port says of it. Then the firmware starts again and slot a comes up by itself.
fn ends_on_a(name: &str, prepare: impl FnOnce(&Path), switch: &str, evidence: &str) {
    ends_on_a_with(name, &[], prepare, switch, evidence);
}

fn ends_on_a_with(name: &str, more: &[&str], prepare: impl FnOnce(&Path), switch: &str, evidence: &str) -> Machine {
    let disk = disks::lasting(name);
    prepare(&disk);
    let mut machine = Machine::start(&Setup { more, ..Setup::lasting(name, Firmware::Bios, &disk) });
    machine.comes_up('a');
    machine.leave_by(switch);
    machine.wait_for("slot b's kernel starts", "flipslot.slot=b");
    machine.wait_for("what fails says so", evidence);
    came_back_to_a(&mut machine);
    machine
}

/// The firmware starts, GRUB boots slot a, and `status` knows what happened.
fn came_back_to_a(machine: &mut Machine) {
    machine.wait_for("the firmware starts again", "GNU GRUB");
    machine.wait_for("GRUB boots the slot that worked", "flipslot: booting slot a");
    machine.comes_up('a');
    let status = machine.run("flipslot status");
    assert!(status.contains("to slot b, failed"), "{status}");
    assert!(status.contains("the next reset boots slot a, which is proven"), "{status}");
}
