//! Slots with btrfs: started by UEFI, jumped into by kexec, found by GRUB after a reset that left a log
//! behind, which GRUB does not read; written by a server that runs from one; and an older kernel.

use crate::bus::Bus;
use crate::disks::{self, Scratch, Single};
use crate::images;
use crate::machine::{Firmware, Machine, Setup, log};
use crate::registry::Registry;

#[test]
fn slots_with_btrfs_come_up_by_uefi_by_kexec_and_after_a_reset_in_the_middle() {
    let _ = std::fs::remove_file(log("btrfs"));
    let disk = disks::create("btrfs", &["--hardware", "qemu", "--filesystem", "btrfs"]);
    let mut machine = Machine::start(&Setup::lasting("btrfs", Firmware::Uefi, &disk));
    machine.comes_up('a');
    assert!(machine.run("grep ' / ' /proc/mounts").starts_with("/dev/vda3 / btrfs rw"));
    let status = machine.run("flipslot status");
    assert!(status.contains("slot a"), "the running slot is known by its root: {status}");
    machine.leave_by("flipslot switch --slot b --by kexec");
    machine.wait_for("the new kernel comes without the firmware", "Linux version");
    machine.comes_up('b');
    machine.wait_until("b is confirmed", "flipslot status", "this boot was a trial and is confirmed");
    machine.run("touch /boot/new /root/new; sync /root/new; touch /root/newer");
    machine.leave_by("echo b > /proc/sysrq-trigger");
    machine.wait_for("GRUB reads b as the reset left it", "flipslot: booting slot b");
    machine.comes_up('b');
    assert!(machine.run("dmesg --notime | grep BTRFS").contains("start tree-log replay"), "there was a log to replay");
    assert_eq!(machine.run("ls /root/new"), "/root/new");
    assert!(machine.run("grep ' / ' /proc/mounts").starts_with("/dev/vda4 / btrfs rw"));
    machine.wait_until("b is proven", "flipslot status", "the next reset boots slot b, which is proven");
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
}

#[test]
#[ignore = "an image of its own: make test-all"]
fn a_server_on_btrfs_flashes_its_other_slot_and_goes_there() {
    let registry = Registry::start();
    let layout = images::with_packages("bookworm", &["btrfs-progs"]);
    let reference = format!("--slot=a=oci:{}:latest", layout.display());
    let disk = Scratch::named("btrfs-flash.raw");
    let path = disk.to_string_lossy();
    let create = ["create", &path, "--size=4GiB", "--slots=2", "--yes", "--progress=none", &reference];
    let (code, said) = disks::flipslot(&[&create[..], &["--hardware=qemu", "--filesystem=btrfs"]].concat());
    assert_eq!(code, 0, "{said}");
    let _ = std::fs::remove_file(log("btrfs-flash"));
    let more = ["-nic", "user,model=virtio-net-pci"];
    let mut machine = Machine::start(&Setup { more: &more, ..Setup::lasting("btrfs-flash", Firmware::Uefi, &disk) });
    machine.comes_up('a');
    machine.run("i=$(ls /sys/class/net | grep -v lo); ip link set $i up; ip addr add 10.0.2.15/24 dev $i");
    let reference = format!("docker://10.0.2.2:{}/os/debian:13 --plain-http 10.0.2.2:{0}", registry.port);
    machine.press(&format!("flipslot flash {reference} --slot b --progress plain; echo co''de $?\n"));
    machine.wait_for("it is written", "code 0");
    let status = machine.run("flipslot status --json | tr -d ' \\n' | grep -o 'filesystem\":\"[a-z0-9]*'");
    assert_eq!(status.lines().collect::<Vec<_>>(), ["filesystem\":\"btrfs"; 2]);
    machine.leave_by("flipslot switch --slot b");
    machine.wait_for("slot b's kernel starts", "flipslot.slot=b");
    machine.comes_up('b');
    assert!(machine.run("grep ' / ' /proc/mounts").starts_with("/dev/vda4 / btrfs rw"));
    machine.wait_until("b is confirmed", "flipslot status", "this boot was a trial and is confirmed");
    machine.leave_by("flipslot rollback");
    machine.wait_for("slot a's kernel starts", "flipslot.slot=a");
    machine.comes_up('a');
}

#[test]
fn a_kernel_of_debian_11_comes_up_from_xfs_and_from_btrfs_on_bios() {
    // Made by the programs of this machine, which are newer than the kernel.
    for filesystem in ["xfs", "btrfs"] {
        let (name, words) = (format!("debian-11-{filesystem}"), format!("--filesystem={filesystem}"));
        let single = Single { name: &name, layout: &images::layout("bullseye") };
        // On a busy machine without KVM, this kernel's test of its timer fails, and it panics.
        let disk = single.made(&["--hardware=qemu", "--kargs=no_timer_check", &words]);
        let mut machine = Machine::start(&Setup::once(&name, Firmware::Bios, Bus::VirtioBlk, &disk));
        machine.wait_for("it comes up", "Debian GNU/Linux 11 flipslot-vm");
        machine.wait_for("login prompt", "login:");
        machine.log_in();
        let root = machine.run("grep ' / ' /proc/mounts");
        assert!(root.starts_with(&format!("/dev/vda3 / {filesystem} rw")), "{root}");
        assert!(machine.run("uname -r").starts_with("5.10."));
        assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    }
}
