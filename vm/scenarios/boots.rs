//! Every slot comes up, from BIOS and from UEFI, as the system that its image holds.

use crate::bus::Bus;
use crate::disks::Single;
use crate::machine::{Firmware, Machine, Setup};
use crate::{disks, images};

/// The menu shows for one second; a busy host may be too slow for it.
const ATTEMPTS: usize = 3;

/// Starts a machine, chooses `slot` by its letter in GRUB's menu, and waits for its login prompt.
pub fn boot_slot(setup: &Setup, slot: char, os: &str) -> Machine {
    for _ in 0..ATTEMPTS {
        let mut machine = Machine::start(setup);
        machine.wait_for("GRUB comes up", "GNU GRUB");
        machine.press(&slot.to_string());
        let slots = ["flipslot: booting slot a", "flipslot: booting slot b"];
        if !slots[machine.wait_for_any("GRUB boots a slot", &slots)].ends_with(slot) {
            continue; // the key came too late
        }
        machine.wait_for("the slot's own system comes up", os);
        machine.wait_for("login prompt", "login:");
        return machine;
    }
    panic!("step 'choose slot {slot} in GRUB's menu': the key came too late {ATTEMPTS} times");
}

fn comes_up(name: &str, firmware: Firmware, slot: char, os: &str) {
    let mut machine = boot_slot(&Setup::once(name, firmware, Bus::VirtioBlk, disks::qemu()), slot, os);
    machine.log_in();
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    let cmdline = machine.run("cat /proc/cmdline");
    assert!(cmdline.contains(&format!("flipslot.slot={slot}")), "{cmdline}");
    let firmware_says = machine.run("test -d /sys/firmware/efi && echo Uefi || echo Bios");
    assert_eq!(firmware_says, format!("{firmware:?}"));
    // The root filesystem is the slot's own partition, read and write.
    let number = if slot == 'a' { 3 } else { 4 };
    let mounts = machine.run("grep ' / ' /proc/mounts");
    assert!(mounts.starts_with(&format!("/dev/vda{number} / ext4 rw")), "{mounts}");
}

#[test]
fn bios_boots_slot_a_with_debian_12() {
    comes_up("bios-a", Firmware::Bios, 'a', "Debian GNU/Linux 12");
}

#[test]
fn bios_boots_slot_b_with_debian_13() {
    comes_up("bios-b", Firmware::Bios, 'b', "Debian GNU/Linux 13");
}

#[test]
fn uefi_boots_slot_a_with_debian_12() {
    comes_up("uefi-a", Firmware::Uefi, 'a', "Debian GNU/Linux 12");
}

#[test]
fn uefi_boots_slot_b_with_debian_13() {
    comes_up("uefi-b", Firmware::Uefi, 'b', "Debian GNU/Linux 13");
}

#[test]
#[ignore = "scenarios/btrfs.rs boots it from two other filesystems: make test-all"]
fn bios_boots_debian_11() {
    let disk = Single { name: "debian-11", layout: &images::layout("bullseye") }.made(&["--hardware=qemu"]);
    let setup = Setup::once("debian-11", Firmware::Bios, Bus::VirtioBlk, &disk);
    let mut machine = boot_slot(&setup, 'a', "Debian GNU/Linux 11");
    machine.log_in();
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
}
