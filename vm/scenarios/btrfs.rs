//! Slots with btrfs: started by UEFI, jumped into by kexec, found by GRUB after a reset that left a log
//! behind, which GRUB does not read; and an older kernel.

use crate::bus::Bus;
use crate::disks::{self, Single};
use crate::images;
use crate::machine::{Machine, log};
use crate::setup::{Firmware, Setup};

#[test]
#[ignore = "the next one boots btrfs, xfs.rs does all of this with XFS: make test-all"]
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
fn a_kernel_of_debian_11_comes_up_from_btrfs_on_bios() {
    debian_11_comes_up_from("btrfs");
}

#[test]
#[ignore = "traps/xfs_features.rs boots it from XFS, too: make test-all"]
fn a_kernel_of_debian_11_comes_up_from_xfs_on_bios() {
    debian_11_comes_up_from("xfs");
}

/// Boots a slot that the programs of this machine have made, which are newer than the kernel.
fn debian_11_comes_up_from(filesystem: &str) {
    let (name, words) = (format!("debian-11-{filesystem}"), format!("--filesystem={filesystem}"));
    let single = Single { name: &name, layout: &images::layout("bullseye") };
    // On a busy machine without KVM, this kernel's test of its timer fails, and it panics.
    let disk = single.made(&["--hardware=qemu", "--kargs=no_timer_check", disks::OURS, &words]);
    let mut machine = Machine::start(&Setup::once(&name, Firmware::Bios, Bus::VirtioBlk, &disk));
    machine.wait_for("it comes up", "Debian GNU/Linux 11 flipslot-vm");
    machine.wait_for("login prompt", "login:");
    machine.log_in();
    let root = machine.run("grep ' / ' /proc/mounts");
    assert!(root.starts_with(&format!("/dev/vda3 / {filesystem} rw")), "{root}");
    assert!(machine.run("uname -r").starts_with("5.10."));
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
}
