//! The kernel of the slot that is wanted has vanished meanwhile.

use super::wants_b;
use crate::disks;
use crate::machine::Machine;
use crate::saved;
use crate::setup::{Firmware, Setup};
use std::fs;

#[test]
fn a_wanted_slot_without_its_kernel_ends_on_the_slot_that_worked() {
    let disk = saved::disk("kernel-gone");
    let setup = Setup::lasting("kernel-gone", Firmware::Bios, &disk);
    let mut machine = saved::resume("kernel-gone", &disk);
    machine.leave_by("flipslot switch --slot b --by firmware");
    wants_b(&mut machine);
    drop(machine);
    disks::edit(&disk, 'b', |root| {
        let boot = fs::read_dir(root.join("boot")).expect("slot b has /boot").flatten().map(|entry| entry.path());
        let kernel = boot.into_iter().find(|path| path.to_string_lossy().contains("vmlinuz-")).expect("and a kernel");
        fs::remove_file(kernel).expect("it is a file");
    });
    let mut machine = Machine::start(&setup);
    machine.wait_for("GRUB tries b", "flipslot: slot b has no kernel");
    machine.wait_for("GRUB takes the proven slot", "flipslot: booting slot a");
    machine.wait_for("which is no trial", "flipslot.boot=proven");
    machine.comes_up('a');
    let status = machine.run("flipslot status");
    assert!(status.contains("to slot b, failed"), "{status}");
}
