//! A slot that is chosen in GRUB's menu comes up. (`firmware.rs` boots every slot from BIOS and from UEFI.)

use crate::bus::Bus;
use crate::disks::{self, Single};
use crate::images;
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};

/// The menu shows for one second; a busy host may be too slow for it.
const ATTEMPTS: usize = 10;

/// Starts a machine, chooses `slot` by its letter in GRUB's menu, and waits for its login prompt.
pub fn boot_slot(setup: &Setup, slot: char, os: &str) -> Machine {
    let mut machine = choose_slot(setup, slot);
    machine.wait_for("the slot's own system comes up", os);
    machine.wait_for("login prompt", "login:");
    machine
}

/// Starts a machine and chooses `slot` by its letter in GRUB's menu.
fn choose_slot(setup: &Setup, slot: char) -> Machine {
    for _ in 0..ATTEMPTS {
        let mut machine = Machine::start(setup);
        machine.wait_for("GRUB comes up", "GNU GRUB");
        machine.press(&slot.to_string());
        let slots = ["flipslot: booting slot a", "flipslot: booting slot b"];
        if slots[machine.wait_for_any("GRUB boots a slot", &slots)].ends_with(slot) {
            return machine;
        } // else the key came too late
    }
    panic!("step 'choose slot {slot} in GRUB's menu': the key came too late {ATTEMPTS} times");
}

/// Looks at a machine that has come up in `slot` of a disk on virtio-blk.
pub fn is_as_its_image_says(machine: &mut Machine, firmware: Firmware, slot: char) {
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
fn bios_starts_the_kernel_of_slot_b_when_its_letter_is_typed_in_the_menu() {
    let mut machine = choose_slot(&Setup::once("bios-b", Firmware::Bios, Bus::VirtioBlk, disks::qemu()), 'b');
    machine.wait_for("slot b's kernel starts", "flipslot.slot=b");
}

#[test]
#[ignore = "scenarios/btrfs.rs boots it from two other filesystems: make test-all"]
fn bios_boots_debian_11() {
    let disk =
        Single { name: "debian-11", layout: &images::layout("bullseye") }.made(&["--hardware=qemu", disks::OURS]);
    let setup = Setup::once("debian-11", Firmware::Bios, Bus::VirtioBlk, &disk);
    let mut machine = boot_slot(&setup, 'a', "Debian GNU/Linux 11");
    machine.log_in();
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
}
