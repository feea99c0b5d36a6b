//! Ten jumps in a row, by kexec alone. Takes its time: `make test-all` runs it.

use crate::disks;
use crate::machine::{Firmware, Machine, Setup};

#[test]
#[ignore = "ten boots: make test-all"]
fn ten_switches_in_a_row() {
    let disk = disks::lasting("ten");
    let mut machine = Machine::start(&Setup::lasting("ten", Firmware::Bios, &disk));
    machine.comes_up('a');
    for slot in ['b', 'a'].into_iter().cycle().take(10) {
        machine.leave_by(&format!("flipslot switch --slot {slot} --by kexec"));
        machine.wait_for("the slot's kernel starts", &format!("flipslot.slot={slot}"));
        machine.comes_up(slot);
        machine.wait_until("it confirms itself", "flipslot status", "this boot was a trial and is confirmed");
    }
    assert_eq!(machine.log().matches("GNU GRUB").count(), 1, "the firmware started once");
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "");
}
