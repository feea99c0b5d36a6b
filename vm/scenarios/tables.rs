//! Disks of every table, from BIOS and from UEFI, with every filesystem: each boots, and switches once.
//! (`xfs.rs` has one with sectors of 4096 bytes.)

use crate::disks;
use crate::machine::{Machine, log};
use crate::setup::{Firmware, Setup};
use std::fs;

/// Boots a disk with that table and those filesystems, and switches once.
fn of(table: &str, firmware: Firmware, filesystem: &str) {
    let name = format!("{table}-{firmware:?}-{filesystem}").to_lowercase();
    let _ = fs::remove_file(log(&name));
    let disk = disks::create(&name, &["--hardware", "qemu", "--table", table, "--filesystem", filesystem]);
    let slot_a = if table == "mbr" { 2 } else { 3 };
    let mut machine = Machine::start(&Setup::lasting(&name, firmware, &disk));
    machine.comes_up('a');
    assert_eq!(machine.run("findmnt -no SOURCE /"), format!("/dev/vda{slot_a}"));
    machine.leave_by("flipslot switch --slot b");
    machine.comes_up('b');
    assert_eq!(machine.run("findmnt -no SOURCE /"), format!("/dev/vda{}", slot_a + 1));
    machine.wait_until("b is confirmed", "flipslot status", "this boot was a trial and is confirmed");
    machine.leave_by("echo b > /proc/sysrq-trigger");
    machine.wait_for("GRUB reads the state that b has written", "flipslot: booting slot b");
}

#[test]
fn mbr_on_bios_with_ext4() {
    of("mbr", Firmware::Bios, "ext4");
}

/// The pairs that others say as much as.
mod every_one {
    use super::of;
    use crate::setup::Firmware;

    #[test]
    #[ignore = "two boots each: make test-all"]
    fn gpt() {
        for (firmware, filesystem) in [
            (Firmware::Bios, "ext4"),
            (Firmware::Bios, "xfs"),
            (Firmware::Bios, "btrfs"),
            (Firmware::Uefi, "ext4"),
            (Firmware::Uefi, "xfs"),
            (Firmware::Uefi, "btrfs"),
        ] {
            of("gpt", firmware, filesystem);
        }
    }

    #[test]
    #[ignore = "two boots each: make test-all"]
    fn mbr() {
        for (firmware, filesystem) in [
            (Firmware::Bios, "xfs"),
            (Firmware::Bios, "btrfs"),
            (Firmware::Uefi, "ext4"),
            (Firmware::Uefi, "xfs"),
            (Firmware::Uefi, "btrfs"),
        ] {
            of("mbr", firmware, filesystem);
        }
    }
}
