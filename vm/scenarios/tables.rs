//! Disks of every table, from BIOS and from UEFI, with every filesystem: each boots, and switches once.

use crate::disks;
use crate::machine::{Firmware, Machine, Setup, log};
use std::fs;

/// A disk, and the machine that boots it.
struct Case {
    name: &'static str,
    firmware: Firmware,
    /// What `create` is told.
    flags: &'static [&'static str],
    /// What QEMU is told beside.
    machine: &'static [&'static str],
    /// The first slot's partition.
    slot_a: u32,
}

impl Case {
    fn mbr(name: &'static str, firmware: Firmware, flags: &'static [&'static str]) -> Case {
        Case { name, firmware, flags, machine: &[], slot_a: 2 }
    }

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
        drop(machine);
        fs::remove_file(disk).expect("the disk is ours");
    }
}

#[test]
fn mbr_on_bios() {
    Case::mbr("mbr-bios", Firmware::Bios, &["--table", "mbr"]).boots_and_switches();
}

#[test]
fn mbr_on_uefi_with_xfs() {
    Case::mbr("mbr-uefi-xfs", Firmware::Uefi, &["--table", "mbr", "--filesystem", "xfs"]).boots_and_switches();
}

#[test]
#[ignore = "the other pairs say as much: make test-all"]
fn mbr_on_bios_with_xfs() {
    Case::mbr("mbr-bios-xfs", Firmware::Bios, &["--table", "mbr", "--filesystem", "xfs"]).boots_and_switches();
}

#[test]
#[ignore = "the other pairs say as much: make test-all"]
fn mbr_on_uefi() {
    Case::mbr("mbr-uefi", Firmware::Uefi, &["--table", "mbr"]).boots_and_switches();
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
