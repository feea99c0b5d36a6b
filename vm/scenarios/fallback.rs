//! A slot whose kernel is gone does not stop the machine: GRUB takes the other one by itself.

use crate::bus::Bus;
use crate::disks;
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};

/// Where slot a begins: after 1 MiB of table, 1 MiB of GRUB's core, 64 MiB of boot partition.
const SLOT_A: u64 = 66 << 20;

#[test]
fn a_slot_without_its_kernel_falls_back_to_the_other() {
    let disk = disks::copy(disks::qemu(), "no-kernel");
    let slot = format!("{}?offset={SLOT_A}", disk.display());
    let kernel = disks::run("debugfs", &["-R", "ls -p /boot", &slot]);
    let kernel = kernel.split('/').find(|name| name.starts_with("vmlinuz-")).expect("slot a has a kernel").to_owned();
    disks::run("debugfs", &["-w", "-R", &format!("rm /boot/{kernel}"), &slot]);

    let mut machine = Machine::start(&Setup::once("fallback", Firmware::Bios, Bus::VirtioBlk, &disk));
    machine.wait_for("GRUB tries slot a", "flipslot: slot a has no kernel");
    machine.wait_for("GRUB takes slot b with nobody at the keyboard", "flipslot: booting slot b");
    machine.wait_for("slot b's kernel starts", "flipslot.slot=b");
}
