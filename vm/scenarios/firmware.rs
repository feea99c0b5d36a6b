//! There and back through the firmware, where GRUB tries the other slot once; each slot comes up as the
//! system that its image holds.

use crate::disks;
use crate::machine::Machine;
use crate::saved;
use crate::scenarios::boots::is_as_its_image_says;
use crate::setup::{Firmware, Setup};

fn a_to_b_and_back(machine: &mut Machine, firmware: Firmware) {
    is_as_its_image_says(machine, firmware, 'a');
    for (slot, back) in [('b', 'a'), ('a', 'b')] {
        machine.leave_by(&format!("flipslot switch --slot {slot} --by firmware"));
        machine.wait_for("the firmware starts", "GNU GRUB");
        machine.wait_for("GRUB tries the slot", &format!("flipslot: booting slot {slot}"));
        machine.wait_for("its kernel knows that it is on trial", "flipslot.boot=firmware");
        machine.comes_up(slot);
        is_as_its_image_says(machine, firmware, slot);
        let proven = format!("the next reset boots slot {slot}, which is proven");
        machine.wait_until("it confirms itself", "flipslot status", &proven);
        let status = machine.run("flipslot status --json");
        assert!(status.contains(&format!("\"proven_before\": \"{back}\"")), "{status}");
        assert!(status.contains("\"by\": \"firmware\""), "{status}");
    }
}

#[test]
#[ignore = "refused.rs and trials/power_cut.rs go through BIOS: make test-all"]
fn debian_12_to_debian_13_and_back_through_bios() {
    let disk = saved::disk("firmware-bios");
    a_to_b_and_back(&mut saved::resume("firmware-bios", &disk), Firmware::Bios);
}

#[test]
fn debian_12_to_debian_13_and_back_through_uefi() {
    let disk = disks::lasting("firmware-uefi");
    let mut machine = Machine::start(&Setup::lasting("firmware-uefi", Firmware::Uefi, &disk));
    machine.comes_up('a');
    a_to_b_and_back(&mut machine, Firmware::Uefi);
}
