//! Disks of every table, from BIOS and from UEFI, with every filesystem: each boots, and switches once.

use crate::disks;
use crate::machine::{Firmware, Machine, Setup, log};
use std::fs;

/// A disk, and the machine that boots it.
struct Case<'c> {
    name: &'c str,
    firmware: Firmware,
    /// What `create` is told.
    flags: &'c [&'c str],
    /// What QEMU is told beside.
    machine: &'c [&'c str],
    /// The first slot's partition.
    slot_a: u32,
}

impl Case<'_> {
    fn boots_and_switches(self) {
        let _ = fs::remove_file(log(self.name));
        let disk = disks::create(self.name, &[&["--hardware", "qemu"], self.flags].concat());
        let setup = Setup { more: self.machine, ..Setup::lasting(self.name, self.firmware, &disk) };
        let mut machine = Machine::start(&setup);
        machine.comes_up('a');
        assert_eq!(machine.run("findmnt -no SOURCE /"), format!("/dev/vda{}", self.slot_a));
        machine.leave_by("flipslot switch --slot b");
        machine.comes_up('b');
        assert_eq!(machine.run("findmnt -no SOURCE /"), format!("/dev/vda{}", self.slot_a + 1));
        machine.wait_until("b is confirmed", "flipslot status", "this boot was a trial and is confirmed");
        machine.leave_by("echo b > /proc/sysrq-trigger");
        machine.wait_for("GRUB reads the state that b has written", "flipslot: booting slot b");
    }
}

fn of(table: &str, firmware: Firmware, filesystem: &str) {
    let name = format!("{table}-{firmware:?}-{filesystem}").to_lowercase();
    let flags = ["--table", table, "--filesystem", filesystem];
    let slot_a = if table == "mbr" { 2 } else { 3 };
    Case { name: &name, firmware, flags: &flags, machine: &[], slot_a }.boots_and_switches();
}

#[test]
fn mbr_on_bios_with_ext4() {
    of("mbr", Firmware::Bios, "ext4");
}

#[test]
fn sectors_of_4096_bytes_on_uefi() {
    let machine = &[
        "-global",
        "virtio-blk-device.logical_block_size=4096",
        "-global",
        "virtio-blk-device.physical_block_size=4096",
    ];
    let flags = &["--sector-size", "4096", "--filesystem", "xfs"];
    Case { name: "sectors-4096", firmware: Firmware::Uefi, flags, machine, slot_a: 3 }.boots_and_switches();
}

/// The pairs that others say as much as.
mod every_one {
    use super::of;
    use crate::machine::Firmware;

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
