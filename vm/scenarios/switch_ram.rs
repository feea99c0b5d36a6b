//! From a running server into an image in RAM, and back: no slot is changed, and a reset leads to what the disk boots.

use crate::machine::Machine;
use crate::registry::{Registry, bring_network_up};
use crate::saved;

fn comes_up_in_ram(machine: &mut Machine, words: &str) {
    machine.wait_for("the image's kernel starts", words);
    machine.wait_for("it has the machine's name", "Debian GNU/Linux 13 rack12");
    machine.wait_for("login prompt", "login:");
    machine.log_in();
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
}

#[test]
fn a_server_jumps_into_an_image_in_ram_and_comes_back_unless_it_is_confirmed() {
    let registry = Registry::start();
    let disk = saved::disk("switch_ram");
    let mut machine = saved::resume("switch_ram", &disk);
    machine.run("hostname rack12");
    bring_network_up(&mut machine);
    let reference = registry.debian_13();
    let said = machine.run(&format!("flipslot switch --ram {reference} --dry-run"));
    assert!(said.contains("would jump from this system into docker://10.0.2.2:"), "{said}");
    machine.leave_by(&format!("flipslot switch --ram {reference} --confirm manual --deadline 3m --progress plain"));
    comes_up_in_ram(&mut machine, "flipslot.boot=kexec flipslot.deadline=180 flipslot.confirm=manual");
    assert!(machine.run("flipslot status").contains("trial    not confirmed yet"));
    let said = machine.run("flipslot switch --ram oci:/nowhere");
    assert!(said.contains("this system is itself on trial"), "{said}");
    machine.wait_for("nobody confirms it", "it was not confirmed within 180 s");
    machine.wait_for("a reset leads to the disk", "GNU GRUB");
    machine.wait_for("which boots what it did before", "Debian GNU/Linux 12 flipslot-vm");
    machine.wait_for("login prompt", "login:");
    machine.log_in();
    let status = machine.run("flipslot status");
    assert!(status.contains("the next reset boots slot a, which is proven"), "{status}");
}

#[test]
#[ignore = "make test-all"]
fn an_image_in_ram_that_is_healthy_confirms_itself() {
    let registry = Registry::start();
    let disk = saved::disk("switch_ram_auto");
    let mut machine = saved::resume("switch_ram_auto", &disk);
    machine.run("hostname rack12");
    bring_network_up(&mut machine);
    machine.leave_by(&format!("flipslot switch --ram {} --progress plain", registry.debian_13()));
    comes_up_in_ram(&mut machine, "flipslot.confirm=auto");
    machine.wait_until("it is confirmed", "ls /run/flipslot.confirmed", "/run/flipslot.confirmed");
    let status = machine.run("flipslot status");
    assert!(!status.contains("not confirmed") && !status.contains("a restart is that image"), "{status}");
}
