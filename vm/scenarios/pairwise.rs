//! Three Debians, three filesystems and three ways to come up, each pair of them once, with flipslot's own initramfs.

use crate::disks::{self, Scratch};
use crate::images;
use crate::machine::{Machine, log};
use crate::setup::{Firmware, Setup};

/// The Debians: the name of each, and its number.
const DEBIAN_11: (&str, u32) = ("bullseye", 11);
const DEBIAN_12: (&str, u32) = ("bookworm", 12);
const DEBIAN_13: (&str, u32) = ("trixie", 13);

/// A disk whose slots have this filesystem, with these Debians in them.
fn disk(name: &str, filesystem: &str, suites: &[(&str, u32)]) -> Scratch {
    let disk = Scratch::named(&format!("{name}.raw"));
    let (path, count) = (disk.to_string_lossy(), format!("--slots={}", suites.len()));
    let slots: Vec<String> = ["a", "b"]
        .iter()
        .zip(suites)
        .map(|(slot, (suite, _))| format!("--slot={slot}=oci:{}:latest", images::layout(suite).display()))
        .collect();
    let filesystem = format!("--filesystem={filesystem}");
    let mut arguments = vec!["create", &path, "--size=4GiB", "--yes", "--progress=none", "--hardware=qemu"];
    arguments.extend([count.as_str(), &filesystem, disks::OURS, disks::SAME_ADDRESSES]);
    arguments.extend(slots.iter().map(String::as_str));
    disks::run(env!("CARGO_BIN_EXE_flipslot"), &arguments);
    disk
}

/// Boots slot a by the firmware, and if there is a slot b, jumps into it by kexec.
fn comes_up(firmware: Firmware, filesystem: &str, suites: &[(&str, u32)]) {
    let name = format!("pairwise-{firmware:?}-{filesystem}").to_lowercase();
    let _ = std::fs::remove_file(log(&name));
    let disk = disk(&name, filesystem, suites);
    let mut machine = Machine::start(&Setup::lasting(&name, firmware, &disk));
    machine.debian_comes_up(suites[0].1);
    is_sound(&mut machine, filesystem);
    if let Some((_, release)) = suites.get(1) {
        machine.leave_by("flipslot switch --slot b --by kexec");
        machine.debian_comes_up(*release);
        is_sound(&mut machine, filesystem);
    }
}

fn is_sound(machine: &mut Machine, filesystem: &str) {
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    let mounts = machine.run("grep ' / ' /proc/mounts");
    assert!(mounts.contains(&format!(" / {filesystem} rw")), "{mounts}");
}

#[test]
#[ignore = "btrfs.rs, xfs.rs and boots.rs boot some of them: make test-all"]
fn bios_boots_11_from_ext4_and_kexec_12() {
    comes_up(Firmware::Bios, "ext4", &[DEBIAN_11, DEBIAN_12]);
}

#[test]
#[ignore = "btrfs.rs, xfs.rs and boots.rs boot some of them: make test-all"]
fn bios_boots_12_from_xfs_and_kexec_13() {
    comes_up(Firmware::Bios, "xfs", &[DEBIAN_12, DEBIAN_13]);
}

#[test]
#[ignore = "btrfs.rs, xfs.rs and boots.rs boot some of them: make test-all"]
fn bios_boots_13_from_btrfs_and_kexec_11() {
    comes_up(Firmware::Bios, "btrfs", &[DEBIAN_13, DEBIAN_11]);
}

#[test]
#[ignore = "btrfs.rs, xfs.rs and boots.rs boot some of them: make test-all"]
fn uefi_boots_11_from_xfs() {
    comes_up(Firmware::Uefi, "xfs", &[DEBIAN_11]);
}

#[test]
#[ignore = "btrfs.rs, xfs.rs and boots.rs boot some of them: make test-all"]
fn uefi_boots_12_from_btrfs() {
    comes_up(Firmware::Uefi, "btrfs", &[DEBIAN_12]);
}

#[test]
#[ignore = "btrfs.rs, xfs.rs and boots.rs boot some of them: make test-all"]
fn uefi_boots_13_from_ext4() {
    comes_up(Firmware::Uefi, "ext4", &[DEBIAN_13]);
}
