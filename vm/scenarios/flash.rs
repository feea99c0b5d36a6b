//! A running server pulls an image into its other slot, jumps there, and takes its identity along.

use crate::registry::{Registry, bring_network_up};
use crate::saved;

#[test]
fn a_running_server_flashes_its_other_slot_and_keeps_its_identity_there_and_back() {
    let registry = Registry::start();
    let disk = saved::disk("flash");
    let mut machine = saved::resume("flash", &disk);
    let id = machine.run("cat /etc/machine-id");
    machine.run("echo rack12 > /etc/hostname; mkdir -p /etc/ssh; (umask 77; echo secret > /etc/ssh/ssh_host_key)");
    bring_network_up(&mut machine);
    let reference = registry.debian_13();
    let said = machine.run(&format!("flipslot flash {reference} --slot a; echo code $?"));
    assert!(said.contains("this system runs from slot a") && said.contains("code 3"), "{said}");
    // The slot gets this machine's fstab, with a line that its disk has nothing for and one that is of slot a.
    machine.run("cp -p /etc/fstab /root; echo UUID=0a1b /srv ext4 >>/etc/fstab");
    machine.run("echo UUID=$(findmnt -no UUID /) /mnt ext4 >>/etc/fstab");
    let keep =
        ["machine-id", "ssh/ssh_host_*", "hostname", "fstab"].map(|name| format!("--keep '/etc/{name}'")).join(" ");
    // The limits of the image's dracut, as they are while it runs; those of the process that unpacks come before.
    machine.run(
        "(until cat $(find /sys/fs/cgroup -path '*flipslot*' -name memory.max -o -path '*flipslot*' -name pids.max | sort) \
         >/run/limits 2>/dev/null </dev/null && head -n 1 /run/limits | grep -q '[0-9]'; do sleep 0.2; done) & true",
    );
    machine.press(&format!("flipslot flash {reference} --slot b {keep} --fix fstab --progress plain\n"));
    machine.wait_for("it is written", "carried over: /etc/machine-id /etc/hostname /etc/fstab /etc/ssh/ssh_host_key");
    let limits = machine.run("cat /run/limits; sed -n 's/^MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo");
    let numbers: Vec<u64> = limits.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [memory, processes, all, ..] = numbers[..] else { panic!("no cgroup of a chamber was seen: {limits}") };
    assert!((512 << 20..=all << 10).contains(&memory), "{limits}");
    assert_eq!(processes, 4096, "{limits}");
    let status = machine.run("flipslot status");
    assert!(status.contains("fixed fstab: /etc/fstab line"), "{status}");
    machine.run("cat /root/fstab >/etc/fstab");
    assert!(status.contains(&format!("docker://10.0.2.2:{}/os/debian:13", registry.port)), "{status}");

    machine.leave_by("flipslot switch --slot b");
    machine.wait_for("slot b's kernel starts", "flipslot.slot=b");
    machine.wait_for("it has the machine's name", "Debian GNU/Linux 13 rack12");
    machine.wait_for("login prompt", "login:");
    machine.log_in();
    assert_eq!(machine.run("cat /etc/machine-id"), id);
    assert_eq!(machine.run("stat -c %a /etc/ssh/ssh_host_key; cat /etc/ssh/ssh_host_key"), "600\nsecret");
    machine.wait_until("b is confirmed", "flipslot status", "this boot was a trial and is confirmed");
    let said = machine.run("flipslot flash oci:/nowhere --slot a; echo code $?");
    assert!(said.contains("slot a is proven") && said.contains("--promote"), "{said}");

    bring_network_up(&mut machine);
    let said = machine.run(&format!("flipslot flash {reference} --slot a --promote --dry-run"));
    assert!(said.contains("slot b becomes the fallback, though it has not come up from the firmware yet"), "{said}");
    assert!(said.contains("into slot a of /dev/vda; Debian GNU/Linux 12 (bookworm) would go"), "{said}");

    let said = machine.run("flipslot confirm --dry-run; flipslot rollback --dry-run");
    assert!(
        said.contains("would say: slot b is confirmed") && said.contains("would go back from slot b to slot a"),
        "{said}"
    );
    machine.run("echo rack13 > /etc/hostname");
    machine.leave_by("flipslot rollback");
    machine.wait_for("what changed meanwhile goes along", "/etc/hostname is newer here: carried over into slot a");
    machine.wait_for("slot a's kernel starts", "flipslot.slot=a");
    machine.wait_for("it has the new name", "Debian GNU/Linux 12 rack13");
}
