//! From a running server into an image in RAM, and back: the disk is not written, and a reset leads to what it boots.

use crate::registry::{Registry, bring_network_up};
use crate::saved;

#[test]
fn a_server_jumps_into_an_image_in_ram_which_proves_itself_or_is_left_again() {
    let registry = Registry::start();
    let disk = saved::disk("switch_ram");
    let mut machine = saved::resume("switch_ram", &disk);
    machine.run("hostname rack12");
    bring_network_up(&mut machine);
    let reference = registry.debian_13();
    let said = machine.run(&format!("flipslot switch --ram {reference} --dry-run"));
    assert!(said.contains("would jump from this system into docker://10.0.2.2:"), "{said}");
    machine.leave_by(&format!("flipslot switch --ram {reference} --confirm manual --deadline 1m --progress plain"));
    machine.wait_for("the image's kernel starts", "flipslot.boot=kexec flipslot.deadline=60 flipslot.confirm=manual");
    machine.wait_for("it has the machine's name", "Debian GNU/Linux 13 rack12");
    machine.wait_for("login prompt", "login:");
    machine.log_in();
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    assert!(machine.run("flipslot status").contains("trial    not confirmed yet"));
    let said = machine.run("flipslot switch --ram oci:/nowhere");
    assert!(said.contains("this system is itself on trial"), "{said}");
    machine.wait_for("nobody confirms it", "it was not confirmed within 60 s");
    machine.wait_for("a reset leads to the disk", "GNU GRUB");
    machine.wait_for("which boots what it did before", "Debian GNU/Linux 12 flipslot-vm");
    machine.wait_for("login prompt", "login:");
    machine.log_in();

    let status = machine.run("flipslot status");
    assert!(status.contains("the next reset boots slot a, which is proven"), "{status}");
    bring_network_up(&mut machine);
    machine.leave_by(&format!("flipslot switch --ram {reference} --progress plain"));
    machine.wait_for("the image's kernel starts", "flipslot.confirm=auto");
    machine.wait_for("it comes up", "Debian GNU/Linux 13");
    machine.wait_for("login prompt", "login:");
    machine.log_in();
    machine.wait_until("it is confirmed", "ls /run/flipslot.confirmed", "/run/flipslot.confirmed");
    assert!(!machine.run("flipslot status").contains("not confirmed"));
}
