//! A kexec that the kernel refuses, and a slot that is damaged: the machine runs on, and says why.

use crate::machine::Machine;
use crate::saved;

#[test]
fn a_refused_kexec_leaves_the_machine_running_and_auto_goes_by_firmware() {
    let disk = saved::disk("refused");
    let mut machine = saved::resume("refused", &disk);
    let said = machine.run("flipslot switch --slot a; echo code $?");
    assert!(said.contains("this system runs from slot a") && said.contains("code 3"), "{said}");

    machine.run("mount /dev/vda4 /mnt");
    let said = machine.run("flipslot switch --slot b; echo code $?");
    assert!(said.contains("mounted at /mnt") && said.contains("code 3"), "{said}");
    let said = machine.run("flipslot flash oci:/nowhere --slot b; echo code $?");
    assert!(said.contains("mounted at /mnt") && said.contains("code 3"), "{said}");
    machine.run("cp -a /mnt/boot /root/boot; for k in /mnt/boot/vmlinuz-*; do truncate -s 1M $k; done; umount /mnt");
    let said = machine.run("flipslot switch --slot b; echo code $?");
    assert!(said.contains("does not match its recorded digest") && said.contains("code 3"), "{said}");
    machine.run("mount /dev/vda4 /mnt; cp -a /root/boot/. /mnt/boot/; umount /mnt");

    a_killed_switch_leaves_nothing_after_cleanup(&mut machine);

    machine.run("sysctl -w kernel.kexec_load_disabled=1 || echo 1 > /proc/sys/kernel/kexec_load_disabled");
    let said = machine.run("flipslot switch --slot b --by kexec; echo code $?");
    assert!(said.contains("kernel.kexec_load_disabled=1") && said.contains("code 3"), "{said}");
    let status = machine.run("flipslot status");
    assert!(status.contains("the next reset boots slot a, which is proven"), "{status}");
    machine.leave_by("flipslot switch --slot b");
    machine.wait_for("it says which way it goes instead", "going through the firmware instead");
    machine.wait_for("the firmware starts", "GNU GRUB");
    machine.wait_for("GRUB tries b", "flipslot: booting slot b");
    machine.comes_up('b');
}

/// The switch is killed at its last step, by the program that it starts there: the slot's kernel is
/// loaded then, and the watchdog runs.
fn a_killed_switch_leaves_nothing_after_cleanup(machine: &mut Machine) {
    machine.run("mkdir /tmp/p; printf '#!/bin/sh\\nkill -9 $PPID\\n' > /tmp/p/systemctl; chmod +x /tmp/p/systemctl");
    machine.run("PATH=/tmp/p:$PATH flipslot switch --slot b --by kexec");
    let watchdog = "cat /sys/kernel/kexec_loaded /sys/class/watchdog/watchdog0/state";
    assert_eq!(machine.run(watchdog), "1\nactive");
    let said = machine.run("flipslot cleanup");
    assert!(said.contains("removed a jump that was prepared and not made"), "{said}");
    assert_eq!(machine.run(watchdog), "0\ninactive");
    assert_eq!(machine.run("flipslot cleanup"), "nothing was left behind");
}
