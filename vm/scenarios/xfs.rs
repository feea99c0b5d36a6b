//! Slots with XFS: started by UEFI, jumped into by kexec, and found by GRUB after a reset that left a
//! journal behind, which GRUB does not read.

use crate::disks;
use crate::machine::{Machine, log};
use crate::setup::{Firmware, Setup};

/// Sectors of 4096 bytes.
const LARGE: [&str; 4] =
    ["-global", "virtio-blk-device.logical_block_size=4096", "-global", "virtio-blk-device.physical_block_size=4096"];

#[test]
fn slots_with_xfs_and_sectors_of_4096_bytes_come_up_by_uefi_by_kexec_and_after_a_reset_in_the_middle() {
    come_up_and_are_read_after_a_reset("xfs-4096", &["--sector-size", "4096"], &LARGE);
}

#[test]
#[ignore = "the other one has larger sectors: make test-all"]
fn slots_with_xfs_come_up_by_uefi_by_kexec_and_after_a_reset_in_the_middle() {
    come_up_and_are_read_after_a_reset("xfs", &[], &[]);
}

fn come_up_and_are_read_after_a_reset(name: &str, flags: &[&str], more: &[&str]) {
    let _ = std::fs::remove_file(log(name));
    let disk = disks::create(name, &[&["--hardware", "qemu", "--filesystem", "xfs"], flags].concat());
    let mut machine = Machine::start(&Setup { more, ..Setup::lasting(name, Firmware::Uefi, &disk) });
    machine.comes_up('a');
    assert!(machine.run("grep ' / ' /proc/mounts").starts_with("/dev/vda3 / xfs rw"));
    machine.leave_by("flipslot switch --slot b --by kexec");
    machine.wait_for("the new kernel comes without the firmware", "Linux version");
    machine.comes_up('b');
    machine.wait_until("b is confirmed", "flipslot status", "this boot was a trial and is confirmed");
    machine.run("touch /boot/new /root/new; sync /root/new; touch /root/newer");
    machine.leave_by("echo b > /proc/sysrq-trigger");
    machine.wait_for("GRUB reads b as the reset left it", "flipslot: booting slot b");
    machine.comes_up('b');
    assert!(machine.run("dmesg --notime | grep XFS").contains("Starting recovery"), "there was a journal to replay");
    assert!(machine.run("grep ' / ' /proc/mounts").starts_with("/dev/vda4 / xfs rw"));
    machine.wait_until("b is proven", "flipslot status", "the next reset boots slot b, which is proven");
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
}
