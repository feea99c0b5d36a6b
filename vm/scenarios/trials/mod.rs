//! Trials that fail. Each ends on the slot that worked, with nobody touching the machine.

mod deadline;
mod hang;
mod kernel_gone;
mod no_init;
mod no_root;
mod panic;
mod power_cut;
mod unhealthy;

use crate::machine::Machine;
use crate::saved;
use std::path::Path;

/// Jumps from slot a into slot b with `switch`, which fails there: `evidence` is what the serial
/// port says of it. Then the firmware starts again and slot a comes up by itself.
fn ends_on_a(name: &str, prepare: impl FnOnce(&Path), switch: &str, evidence: &str) {
    let disk = saved::disk(name);
    prepare(&disk);
    fails_and_comes_back(&mut saved::resume(name, &disk), switch, evidence);
}

/// Does that in a machine that runs from slot a.
fn fails_and_comes_back(machine: &mut Machine, switch: &str, evidence: &str) {
    machine.leave_by(switch);
    machine.wait_for("slot b's kernel starts", "flipslot.slot=b");
    machine.wait_for("what fails says so", evidence);
    came_back_to_a(machine);
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

/// A switch by the firmware has written that it wants slot b. Where the services stop first, it can say no more.
fn wants_b(machine: &mut Machine) {
    machine.wait_for_any("the disk says that b is wanted", &["services stop now", "Stopped target"]);
}
