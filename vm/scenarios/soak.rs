//! Endurance: `make soak` runs what is in this file, and nothing else does.

use crate::saved;

#[test]
#[ignore = "ten boots: make soak"]
fn ten_switches_in_a_row_by_kexec_alone() {
    let disk = saved::disk("ten");
    let mut machine = saved::resume("ten", &disk);
    for slot in ['b', 'a'].into_iter().cycle().take(10) {
        machine.leave_by(&format!("flipslot switch --slot {slot} --by kexec"));
        machine.wait_for("the slot's kernel starts", &format!("flipslot.slot={slot}"));
        machine.comes_up(slot);
        machine.wait_until("it confirms itself", "flipslot status", "this boot was a trial and is confirmed");
    }
    assert!(!machine.log().contains("GNU GRUB"), "the firmware did not start");
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "");
}
