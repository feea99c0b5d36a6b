//! The power goes at the two moments of a switch at which something is half done.

use super::came_back_to_a;
use crate::disks;
use crate::machine::{Firmware, Machine, Setup};

#[test]
fn a_power_cut_right_after_the_jump_ends_on_the_slot_that_worked() {
    let disk = disks::lasting("cut-after-jump");
    let setup = Setup::lasting("cut-after-jump", Firmware::Bios, &disk);
    let mut machine = Machine::start(&setup);
    machine.comes_up('a');
    machine.leave_by("flipslot switch --slot b --by kexec");
    machine.wait_for("slot b's kernel starts", "flipslot.slot=b");
    drop(machine); // QEMU is killed
    came_back_to_a(&mut Machine::start(&setup));
}

#[test]
fn a_power_cut_before_the_first_firmware_boot_leaves_one_try() {
    let disk = disks::lasting("cut-before-try");
    let setup = Setup::lasting("cut-before-try", Firmware::Bios, &disk);
    let mut machine = Machine::start(&setup);
    machine.comes_up('a');
    machine.leave_by("flipslot switch --slot b --by firmware");
    machine.wait_for("the disk says that b is wanted", "services stop now");
    drop(machine);
    let mut machine = Machine::start(&setup);
    machine.wait_for("GRUB tries b", "flipslot: booting slot b");
    machine.wait_for("its kernel knows that it is on trial", "flipslot.boot=firmware");
    drop(machine);
    came_back_to_a(&mut Machine::start(&setup));
}
