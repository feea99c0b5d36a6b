//! What a CI hands on, as those boot it who get it: a qcow2 as it is, and a compressed disk that bmaptool
//! has written over an old one.

use crate::bus::Bus;
use crate::disks::{self, Scratch};
use crate::images;
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};
use std::path::Path;

/// Makes a disk of Debian 12 whose name says its format.
fn made(name: &str) -> Scratch {
    let (disk, slot) = (Scratch::named(name), format!("--slot=a=oci:{}:latest", images::layout("bookworm").display()));
    let path = disk.to_string_lossy();
    let words = ["--size=1100MiB", "--slots=1", "--hardware=qemu", "--sidecars", "--yes", "--progress=none", &slot];
    disks::run(env!("CARGO_BIN_EXE_flipslot"), &[&["create", &path][..], &words].concat());
    disk
}

fn comes_up(name: &str, firmware: Firmware, disk: &Path) {
    let mut machine = Machine::start(&Setup::once(name, firmware, Bus::VirtioBlk, disk));
    machine.comes_up('a');
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
}

#[test]
fn a_qcow2_boots_as_create_has_made_it() {
    comes_up("qcow2", Firmware::Uefi, &made("artifact.qcow2"));
}

#[test]
#[ignore = "tests/artifacts compares the bytes: make test-all"]
fn a_compressed_disk_that_bmaptool_has_written_over_an_old_one_boots() {
    let disk = made("artifact.raw.zst");
    let old = Scratch::named("artifact-old.raw");
    let old_text = old.to_string_lossy();
    disks::run("sh", &["-c", "tr '\\0' '\\377' < /dev/zero | head -c 1100M > \"$1\"", "sh", &old_text]);
    // A file would be emptied by bmaptool.
    let device = disks::run("losetup", &["--find", "--show", &old_text]).trim().to_owned();
    disks::run("blockdev", &["--setrw", &device]);
    disks::run("bmaptool", &["-q", "copy", &disk.to_string_lossy(), &device]);
    disks::run("losetup", &["--detach", &device]);
    comes_up("bmap", Firmware::Bios, &old);
}
