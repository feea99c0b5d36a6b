//! A state block that was torn: GRUB boots what it can know, and flipslot mends it.

use crate::bus::Bus;
use crate::disks;
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};
use flipslot::boot::state::State;
use flipslot::disk::fat;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the boot partition begins: after 1 MiB of table and 1 MiB of GRUB's core.
const BOOT: u64 = 2 << 20;

fn write(disk: &Path, copy: &str, bytes: &[u8]) {
    let file = File::options().read(true).write(true).open(disk).expect("the disk is a file");
    let mut left = bytes;
    for (offset, length) in fat::extents(&file, BOOT, copy).expect("FAT").expect("the state block is there") {
        let now = left.len().min(usize::try_from(length).expect("a cluster is small"));
        file.write_all_at(&left[..now], BOOT + offset).expect("the disk can be written");
        left = &left[now..];
    }
}

/// The ways in which a block is no block: empty, without its end, of 700 bytes, and NULs.
fn damaged() -> [(&'static str, Vec<u8>); 4] {
    let whole = State::first("a".parse().expect("a slot")).render();
    let text = String::from_utf8_lossy(&whole).replace("end=1\n", "######");
    let mut short = whole[..700].to_vec();
    short.resize(1024, 0);
    short[..60].fill(b'x');
    [("empty", vec![b'#'; 1024]), ("no-end", text.into_bytes()), ("short", short), ("nuls", vec![0; 1024])]
}

#[test]
fn with_one_copy_torn_grub_boots_the_proven_slot_of_the_other() {
    let proven_b = State::first("b".parse().expect("a slot")).render();
    let disk = disks::copy(disks::qemu(), "torn-one");
    for (name, bytes) in damaged() {
        for (torn, whole) in [("flipslot/state-1", "flipslot/state-2"), ("flipslot/state-2", "flipslot/state-1")] {
            write(&disk, torn, &bytes);
            write(&disk, whole, &proven_b);
            let name = format!("torn-{name}");
            let mut machine = Machine::start(&Setup::once(&name, Firmware::Bios, Bus::VirtioBlk, &disk));
            machine.wait_for("GRUB reads the copy that is whole", "flipslot: booting slot b");
        }
    }
}

#[test]
fn with_both_copies_torn_grub_boots_the_first_slot_and_flipslot_mends_them() {
    let disk = disks::lasting("torn-both");
    for (_, bytes) in damaged() {
        for copy in ["flipslot/state-1", "flipslot/state-2"] {
            write(&disk, copy, &bytes);
        }
        let mut machine = Machine::start(&Setup::once("torn-both-once", Firmware::Bios, Bus::VirtioBlk, &disk));
        machine.wait_for("GRUB says so", "neither copy of the state block is whole");
        machine.wait_for("GRUB boots the first slot", "flipslot: booting slot a");
    }
    let mut machine = Machine::start(&Setup::lasting("torn-both", Firmware::Uefi, &disk));
    machine.wait_for("GRUB says so", "neither copy of the state block is whole");
    machine.comes_up('a');
    // The agent notes the boot in the ledger, and mends the block before.
    let said = machine.run("journalctl -b -o cat | grep flipslot:");
    assert!(said.contains("neither copy of the state block was intact"), "{said}");
    let status = machine.run("flipslot status");
    assert!(status.contains("the next reset boots slot a, which is proven"), "{status}");
    assert!(!status.contains("state block"), "{status}");
}
