//! There and back through the firmware, where GRUB tries the other slot once.

use crate::disks;
use crate::machine::{Firmware, Machine, Setup};

fn a_to_b_and_back(name: &str, firmware: Firmware) {
    let disk = disks::lasting(name);
    let mut machine = Machine::start(&Setup::lasting(name, firmware, &disk));
    machine.comes_up('a');
    for (slot, back) in [('b', 'a'), ('a', 'b')] {
        machine.leave_by(&format!("flipslot switch --slot {slot} --by firmware"));
        machine.wait_for("the firmware starts", "GNU GRUB");
        machine.wait_for("GRUB tries the slot", &format!("flipslot: booting slot {slot}"));
        machine.wait_for("its kernel knows that it is on trial", "flipslot.boot=firmware");
        machine.comes_up(slot);
        let proven = format!("the next reset boots slot {slot}, which is proven");
        machine.wait_until("it confirms itself", "flipslot status", &proven);
        let status = machine.run("flipslot status --json");
        assert!(status.contains(&format!("\"proven_before\": \"{back}\"")), "{status}");
        assert!(status.contains("\"by\": \"firmware\""), "{status}");
    }
}

#[test]
fn a_to_b_and_back_through_bios() {
    a_to_b_and_back("firmware-bios", Firmware::Bios);
}

#[test]
fn a_to_b_and_back_through_uefi() {
    a_to_b_and_back("firmware-uefi", Firmware::Uefi);
}
