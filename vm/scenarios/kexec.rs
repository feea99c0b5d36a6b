//! There and back by kexec: Debian 12 to Debian 13, confirmed by its health check, and back.

use crate::saved;

#[test]
fn a_to_b_and_back_by_kexec() {
    let disk = saved::disk("kexec");
    let mut machine = saved::resume("kexec", &disk);
    let status = machine.run("flipslot status");
    assert!(status.contains("slot a  Debian GNU/Linux 12 (bookworm), kernel 6.1"), "{status}");
    assert!(status.contains("the next reset boots slot a, which is proven"), "{status}");
    machine.leave_by("flipslot switch --slot b --by kexec");
    machine.wait_for("the new kernel comes without the firmware", "Linux version");
    machine.comes_up('b');
    machine.wait_until("b is confirmed", "flipslot status", "this boot was a trial and is confirmed");
    let status = machine.run("flipslot status");
    assert!(status.contains("the next reset tries slot b up to 3 times, which is confirmed after a kexec"), "{status}");
    assert!(status.contains("last switch: "), "{status}");
    machine.leave_by("flipslot rollback");
    machine.wait_for("the new kernel comes without the firmware", "Linux version");
    machine.comes_up('a');
    machine.wait_until("a is confirmed", "flipslot status", "this boot was a trial and is confirmed");
    let status = machine.run("flipslot status");
    assert!(status.contains("the next reset boots slot a, which is proven"), "{status}");
    assert!(!machine.log().contains("GNU GRUB"), "the firmware did not start");
}
