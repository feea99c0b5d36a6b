//! The power goes at the two moments of a switch at which something is half done.

use super::{came_back_to_a, wants_b};
use crate::machine::Machine;
use crate::saved;
use crate::setup::{Firmware, Setup};

#[test]
fn a_power_cut_right_after_the_jump_ends_on_the_slot_that_worked() {
    let disk = saved::disk("cut-after-jump");
    let setup = Setup::lasting("cut-after-jump", Firmware::Bios, &disk);
    let mut machine = saved::resume("cut-after-jump", &disk);
    machine.leave_by("flipslot switch --slot b --by kexec");
    machine.wait_for("slot b's kernel starts", "flipslot.slot=b");
    drop(machine); // QEMU is killed
    came_back_to_a(&mut Machine::start(&setup));
}

#[test]
fn a_power_cut_before_the_first_firmware_boot_leaves_one_try() {
    let disk = saved::disk("cut-before-try");
    let setup = Setup::lasting("cut-before-try", Firmware::Bios, &disk);
    let mut machine = saved::resume("cut-before-try", &disk);
    machine.leave_by("flipslot switch --slot b --by firmware");
    wants_b(&mut machine);
    drop(machine);
    let mut machine = Machine::start(&setup);
    machine.wait_for("GRUB tries b", "flipslot: booting slot b");
    machine.wait_for("its kernel knows that it is on trial", "flipslot.boot=firmware");
    drop(machine);
    came_back_to_a(&mut Machine::start(&setup));
}
