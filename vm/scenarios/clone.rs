//! Copies of one golden disk in one machine: each boots from its own partitions.

use crate::bus::Bus;
use crate::disks::{self, Scratch, Single};
use crate::images;
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};
use std::path::Path;

/// The GUID of the partition of slot a.
fn partuuid(disk: &Path) -> String {
    let info = disks::run("sgdisk", &["--info", "3", &disk.to_string_lossy()]);
    let line = info.lines().find_map(|line| line.strip_prefix("Partition unique GUID: "));
    line.expect("sgdisk tells a partition's GUID").trim().to_ascii_lowercase()
}

#[test]
fn both_copies_of_a_golden_disk_in_one_machine_boot_from_their_own_partitions() {
    let golden = Single { name: "golden", layout: &images::layout("bookworm") }.made(&["--hardware=qemu", disks::OURS]);
    let copies = ["one", "two"].map(|name| Scratch::named(&format!("golden-{name}.raw")));
    let [one, two] = &copies;
    let paths = [&golden, one, two].map(|path| path.to_string_lossy().into_owned());
    let (code, said) = disks::flipslot(&["clone", &paths[0], &paths[1], &paths[2], "--yes", "--progress=none"]);
    assert_eq!(code, 0, "{said}");
    assert_ne!(partuuid(one), partuuid(two));

    for (name, firmware, disk, other) in
        [("clone-one-bios", Firmware::Bios, one, two), ("clone-two-uefi", Firmware::Uefi, two, one)]
    {
        let drive = format!("id=other,if=none,format=raw,snapshot=on,file={}", other.display());
        let more = ["-drive", &drive, "-device", "virtio-blk-pci,drive=other"];
        let setup = Setup { more: &more, ..Setup::once(name, firmware, Bus::VirtioBlk, disk) };
        let mut machine = Machine::start(&setup);
        machine.comes_up('a');
        let root = machine.run("lsblk -rno PARTUUID $(findmnt -no SOURCE /)");
        assert_eq!(root.trim(), partuuid(disk), "{name}: the root is on the disk that was booted");
        let known = machine.run("lsblk -rno PARTUUID");
        assert!(known.contains(&partuuid(other)), "{name}: the other copy is there, too: {known}");
        let cmdline = machine.run("cat /proc/cmdline");
        assert!(cmdline.contains(&partuuid(disk)) && !cmdline.contains(&partuuid(other)), "{name}: {cmdline}");
        let status = machine.run("flipslot status");
        assert!(status.contains("[runs, proven]"), "{name}: {status}");
    }
}

#[test]
fn a_copy_of_an_mbr_on_a_larger_disk_boots_a_logical_partition_on_uefi() {
    a_copy_of_an_mbr_boots("clone-mbr-uefi", Firmware::Uefi);
}

#[test]
#[ignore = "tables.rs boots an MBR on BIOS, the test above a copy of a GPT: make test-all"]
fn a_copy_of_an_mbr_on_a_larger_disk_boots_a_logical_partition_on_bios() {
    a_copy_of_an_mbr_boots("clone-mbr-bios", Firmware::Bios);
}

fn a_copy_of_an_mbr_boots(name: &str, firmware: Firmware) {
    let [golden, copy] = ["golden", "copy"].map(|disk| Scratch::named(&format!("{name}-{disk}.raw")));
    let paths = [&golden, &copy].map(|path| path.to_string_lossy().into_owned());
    let slot = format!("--slot=c=oci:{}:latest", images::layout("bookworm").display());
    let create = [
        "create",
        &paths[0],
        "--table=mbr",
        "--size=3GiB",
        "--slots=3",
        "--data",
        "--hardware=qemu",
        disks::OURS,
        &slot,
    ];
    let sizes = ["--slot-size=64MiB", "--slot-size=c=2GiB", "--progress=none"];
    let clone = ["clone", &paths[0], &paths[1], "--size=4GiB", "--progress=none"];
    for words in [&[&create[..], &sizes].concat()[..], &clone] {
        let (code, said) = disks::flipslot(words);
        assert_eq!(code, 0, "{said}");
    }
    let signature = |path: &str| disks::run("sfdisk", &["--disk-id", path]).trim().trim_start_matches("0x").to_owned();
    assert_ne!(signature(&paths[0]), signature(&paths[1]));
    let mut machine = Machine::start(&Setup::once(name, firmware, Bus::VirtioBlk, &copy));
    machine.comes_up('a'); // Debian 12, as everywhere
    let root = machine.run("lsblk -rno PARTUUID $(findmnt -no SOURCE /)");
    assert_eq!(root.trim(), format!("{}-05", signature(&paths[1])), "{name}");
}
