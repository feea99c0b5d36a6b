//! A disk for any hardware comes up on other controllers than virtio. (Where an inventory is taken, it
//! is booted and looked at, too: `inventories.rs`.)

use crate::bus::Bus;
use crate::disks;
use crate::inventories;
use crate::scenarios::boots::boot_slot;
use crate::setup::{Firmware, Setup};

#[test]
#[ignore = "matrix.rs boots a disk for AHCI, the test below a generic one: make test-all"]
fn a_generic_disk_boots_on_ahci() {
    inventories::of(Bus::Ahci);
}

#[test]
fn a_generic_disk_boots_on_nvme() {
    let mut machine =
        boot_slot(&Setup::once("nvme", Firmware::Uefi, Bus::Nvme, disks::generic()), 'b', "Debian GNU/Linux 13");
    machine.log_in();
    assert!(machine.run("grep ' / ' /proc/mounts").starts_with("/dev/nvme0n1p4 / ext4 rw"));
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "");
}
