//! A running server flashes a second disk of its machine, and the other slot of its own, with every
//! filesystem: all are clean, and both boot.

use crate::bus::Bus;
use crate::disks::{self, Scratch};
use crate::images;
use crate::machine::{Machine, log};
use crate::registry::{NETWORK, Registry, bring_network_up};
use crate::scenarios::boots::boot_slot;
use crate::setup::{Firmware, Setup};

/// A disk with Debian 12 in slot a, and what makes and checks every filesystem.
fn server(name: &str, filesystem: &str) -> Scratch {
    let layout = images::with_packages("bookworm", &["btrfs-progs", "xfsprogs"]);
    let disk = Scratch::named(&format!("{name}.raw"));
    let (path, reference) = (disk.to_string_lossy(), format!("--slot=a=oci:{}:latest", layout.display()));
    let create = ["create", &path, "--size=4GiB", "--slots=2", "--yes", "--progress=none", &reference];
    let filesystem = format!("--filesystem={filesystem}");
    let (code, said) = disks::flipslot(&[&create[..], &["--hardware=qemu", &filesystem]].concat());
    assert_eq!(code, 0, "{said}");
    disk
}

/// Runs a command that takes its time, and must end well.
fn done(machine: &mut Machine, command: &str) {
    machine.press(&format!("{command}; echo co''de $?\n"));
    machine.wait_for(command, "code 0");
}

fn flashed(filesystem: &str, check: &str) {
    let registry = Registry::start();
    let [name, other] = ["own", "second"].map(|disk| format!("flash-{disk}-{filesystem}"));
    let [own, second] = [&name, &other].map(|name| server(name, filesystem));
    let _ = std::fs::remove_file(log(&name));
    let drive = format!("id=second,if=none,format=raw,file={}", second.display());
    let second_drive = ["-drive", &drive, "-device", "virtio-blk-pci,drive=second,serial=lab2"];
    let more = [&NETWORK[..], &second_drive].concat();
    let mut machine = Machine::start(&Setup { more: &more, ..Setup::lasting(&name, Firmware::Uefi, &own) });
    machine.comes_up('a');
    bring_network_up(&mut machine);
    let reference = registry.debian_13();
    let root = machine.run("lsblk -rno PKNAME $(findmnt -no SOURCE /)");
    let at = machine.run("readlink -f /dev/disk/by-id/virtio-lab2");
    assert_ne!(at, format!("/dev/{root}"));
    let flash = format!("flipslot flash {reference} --slot b --initramfs flipslot --progress none");
    done(&mut machine, &format!("{flash} --disk {at}"));
    done(&mut machine, &flash);
    for disk in [&at, &format!("/dev/{root}")] {
        done(&mut machine, &format!("{check} {disk}4"));
        let kind = machine.run(&format!("blkid -p -o value -s TYPE {disk}4"));
        assert_eq!(kind, filesystem);
    }
    let status = machine.run(&format!("flipslot status --disk {at}"));
    assert!(status.contains("Debian GNU/Linux 13"), "{status}");

    machine.leave_by("flipslot switch --slot b");
    machine.wait_for("slot b's kernel starts", "flipslot.slot=b");
    machine.comes_up('b');
    assert!(machine.run("grep ' / ' /proc/mounts").contains(&format!("4 / {filesystem} rw")));
    machine.wait_until("b is confirmed", "flipslot status", "this boot was a trial and is confirmed");
    machine.leave_by("flipslot rollback");
    machine.wait_for("slot a's kernel starts", "flipslot.slot=a");
    machine.comes_up('a');
    machine.run("sync");
    drop(machine);
    let mut machine =
        boot_slot(&Setup::once(&other, Firmware::Bios, Bus::VirtioBlk, &second), 'b', "Debian GNU/Linux 13");
    machine.log_in();
    assert!(machine.run("grep ' / ' /proc/mounts").contains(&format!("4 / {filesystem} rw")));
}

#[test]
#[ignore = "four boots: make test-all"]
fn ext4() {
    flashed("ext4", "e2fsck -fn");
}

#[test]
#[ignore = "four boots: make test-all"]
fn xfs() {
    flashed("xfs", "xfs_repair -n");
}

#[test]
#[ignore = "four boots: make test-all"]
fn btrfs() {
    flashed("btrfs", "btrfs check --readonly");
}
