//! A disk for any hardware comes up on other controllers than virtio.

use crate::bus::Bus;
use crate::disks;
use crate::machine::{Firmware, Setup};
use crate::scenarios::boots::boot_slot;

#[test]
fn a_generic_disk_boots_on_ahci() {
    let mut machine =
        boot_slot(&Setup::once("ahci", Firmware::Bios, Bus::Ahci, disks::generic()), 'a', "Debian GNU/Linux 12");
    machine.log_in();
    assert!(machine.run("grep ' / ' /proc/mounts").starts_with("/dev/sda3 / ext4 rw"));
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "");
}

#[test]
fn a_generic_disk_boots_on_nvme() {
    let mut machine =
        boot_slot(&Setup::once("nvme", Firmware::Uefi, Bus::Nvme, disks::generic()), 'b', "Debian GNU/Linux 13");
    machine.log_in();
    assert!(machine.run("grep ' / ' /proc/mounts").starts_with("/dev/nvme0n1p4 / ext4 rw"));
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "");
}
