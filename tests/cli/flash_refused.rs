//! What `flash` refuses before it writes a byte: exit code 3, the reason, the way on, and the disk is
//! what it was.

use crate::cli::images;
use crate::cli::leftovers::{stalling_registry, until_a_layer_is_written};
use crate::support::disk::{BOOT, Disk, MIB, NAME, SLOT_A, SLOT_B, content_hash};
use crate::support::program::{Guard, Run, assert_nothing_left, command, flipslot, tool};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// An image that can be looked up and unpacked, and that fails only after the slot was withdrawn:
/// who gets so far was not refused.
const IMAGE: &str = "oci:image:1";

fn disk_and_image() -> Disk {
    let disk = Disk::with(&images::debian());
    images::no_kernel().write(&disk.folder().join("image"), "1");
    disk
}

fn must_not_be_refused(run: &Run) {
    run.must_end(1, &["no kernel"]);
}

#[test]
fn what_the_disk_cannot_take_is_refused_and_no_byte_changes() {
    let disk = disk_and_image();
    let mut foreign = images::no_kernel();
    foreign.config["architecture"] = "arm64".into();
    foreign.write(&disk.folder().join("foreign"), "1");
    let before = disk.content();
    for (reference, slot, more, texts) in [
        (IMAGE, "c", &[][..], ["has no slot c; it has a, b", "--slot b"]),
        (IMAGE, "a", &[], ["slot a is proven", "flash another slot"]),
        (IMAGE, "b", &["--keep=/etc/hostname"], ["nothing runs from d.raw", "--keep none"]),
        (IMAGE, "b", &["--promote"], ["does not run from a slot of d.raw", "on the machine that the disk boots"]),
        ("oci:image:2", "b", &[], ["exactly one image ':2'", "it holds: 1"]),
        ("oci:nowhere", "b", &[], ["nowhere is not an OCI image layout", "next: "]),
        ("oci:foreign:1", "b", &[], ["is for linux/arm64, not for linux/amd64", "--arch"]),
    ] {
        disk.flash(reference, slot, more).must_end(3, &texts);
        disk.flash(reference, slot, &[more, &["--dry-run"]].concat()).must_end(3, &texts);
    }
    disk.flash(IMAGE, "1", &[]).must_end(2, &["'1' is not a slot", "next: "]);
    disk.flash(IMAGE, "b", &["--kargs=root=/dev/sda1"]).must_end(2, &["omit root="]);
    disk.flash("ftp://h/x", "b", &[]).must_end(2, &["its scheme is unknown"]);
    assert_eq!(disk.changed_since(&before), Vec::<u64>::new());
    assert_nothing_left(disk.folder(), &[NAME, "foreign", "image"]);
    must_not_be_refused(&disk.flash(IMAGE, "b", &[]));
}

#[test]
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn a_disk_file_that_a_machine_may_write_is_refused_until_that_is_gone() {
    let disk = disk_and_image();
    let before = disk.content();
    let slot = format!("--slot=b={IMAGE}");
    let flash = || disk.flash(IMAGE, "b", &[]);
    let create = || flipslot(disk.folder(), &["create", NAME, "--keep-data", "--yes", "--progress=none", &slot]);
    let elsewhere = tempfile::tempdir().unwrap();
    let path = |folder: &Path| folder.join(NAME).to_string_lossy().into_owned();
    let bind = format!("mount --bind {} {}; ", disk.folder().display(), elsewhere.path().display());
    for (before_it, how, place, is_refused) in [
        ("", "<>", path(disk.folder()), true),
        (&bind, "<>", path(elsewhere.path()), true), // as a container has it
        ("", "<", path(disk.folder()), false),
    ] {
        let script = format!("{before_it}exec 3{how}\"$0\"; echo open; exec cat 3>&3");
        let mut machine = Command::new("unshare");
        machine.args(["--mount", "sh", "-c", &script, &place]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut machine = Guard(machine.spawn().unwrap());
        BufReader::new(machine.0.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        if is_refused {
            let says = ["d.raw is open in cat (process", "shut it down"];
            flash().must_end(3, &says);
            create().must_end(3, &says);
            assert_eq!(disk.changed_since(&before), Vec::<u64>::new());
        } else {
            must_not_be_refused(&flash());
        }
    }
}

#[test]
fn what_is_no_disk_of_flipslot_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    images::no_kernel().write(&path("image"), "1");
    fs::write(path("text"), "my novel\n".repeat(100_000)).unwrap();
    for name in ["blank", "others", "namesakes", "lookalike", "slots", "boots"] {
        File::create_new(path(name)).unwrap().set_len(300 * MIB).unwrap();
    }
    let sgdisk = |name: &str, more: &[&str]| {
        let boot = ["--new=1:2048:+64M", "--typecode=1:ef00", "--change-name=1:boot", "--new=2:0:+99M"];
        tool("sgdisk", &[&boot[..], more, &[&path(name).to_string_lossy()]].concat())
    };
    let slot = ["--typecode=2:8304", "--change-name=2:slot-a", "--new=3:0:+99M"];
    sgdisk("others", &["--change-name=2:data"]);
    sgdisk("namesakes", &["--change-name=2:slot-a"]);
    sgdisk("lookalike", &slot);
    sgdisk("slots", &[&slot[..], &["--typecode=3:8304", "--change-name=3:slot-a"]].concat());
    sgdisk("boots", &[&slot[..], &["--typecode=3:ef00", "--change-name=3:boot"]].concat());
    let no_table = ["has no flipslot table (GPT or MBR with a boot partition and slots)", "next: "];
    for name in ["text", "blank", "others", "namesakes"] {
        refused_and_kept(folder.path(), name, &no_table);
    }
    let no_files = ["has slots, but no state block on its boot partition", "fsck.vfat -n"];
    refused_and_kept(folder.path(), "lookalike", &no_files);
    refused_and_kept(folder.path(), "slots", &["two partitions are called slot-a", "sgdisk --change-name"]);
    refused_and_kept(folder.path(), "boots", &["two EFI system partitions are called boot", "next: "]);

    fs::create_dir(path("directory")).unwrap();
    tool("mkfifo", &[&path("fifo").to_string_lossy()]);
    for (name, text) in [("directory", "is not a disk"), ("fifo", "is not a disk"), ("nowhere", "No such file")] {
        for arguments in [&["flash", IMAGE, "--slot=b", "--disk", name][..], &["status", "--disk", name]] {
            flipslot(folder.path(), arguments).must_end(3, &[text, "next: "]);
        }
    }
}

#[test]
fn a_disk_whose_boot_partition_or_end_is_gone_is_refused_and_kept() {
    let disk = disk_and_image();
    disk.file().write_all_at(&vec![0; usize::try_from(64 * MIB).unwrap()], BOOT.start * MIB).unwrap();
    refused_and_kept(disk.folder(), NAME, &["has slots, but no state block on its boot partition", "fsck.vfat -n"]);

    let disk = disk_and_image();
    disk.file().set_len(1200 * MIB).unwrap();
    refused_and_kept(disk.folder(), NAME, &["partition 4 (slot-b) does not lie on the disk", "sgdisk --verify"]);
}

/// Changes the partition table as a program that is not careful does: its checksums fit.
fn change_table(disk: &Disk, change: impl FnOnce(&mut [u8], &mut [u8])) {
    let file = disk.file();
    // UEFI specification 2.10, 5.3: the header in sector 1, 128 entries of 128 bytes from sector 2.
    let (mut header, mut entries) = ([0; 92], [0; 128 * 128]);
    file.read_exact_at(&mut header, 512).unwrap();
    file.read_exact_at(&mut entries, 1024).unwrap();
    change(&mut header, &mut entries);
    let sum = |bytes: &[u8]| {
        let mut sum = flate2::Crc::new();
        sum.update(bytes);
        sum.sum().to_le_bytes()
    };
    header[88..92].copy_from_slice(&sum(&entries));
    header[16..20].fill(0);
    let of_header = sum(&header);
    header[16..20].copy_from_slice(&of_header);
    file.write_all_at(&header, 512).unwrap();
    file.write_all_at(&entries, 1024).unwrap();
}

#[test]
fn a_table_in_which_a_flash_would_hit_another_partition_is_refused_and_kept() {
    let disk = disk_and_image();
    change_table(&disk, |_, _| ());
    assert_eq!(disk.status()["proven"], "a", "a table that is written as it was is fine");
    // Slot b is the entry at 3; its first sector is at byte 32 of it.
    let first = (SLOT_B.start - 1) * MIB / 512;
    change_table(&disk, |_, entries| entries[3 * 128 + 32..3 * 128 + 40].copy_from_slice(&first.to_le_bytes()));
    refused_and_kept(disk.folder(), NAME, &["partitions 3 and 4 overlap", "sgdisk --verify"]);
    // The number of entries is at byte 80.
    change_table(&disk, |header, _| header[80..84].fill(0xff));
    refused_and_kept(disk.folder(), NAME, &["claims to have 4294967295 entries of 128 bytes", "sgdisk --verify"]);
    disk.file().write_all_at(&[0; 512], 512).unwrap();
    refused_and_kept(disk.folder(), NAME, &["only its backup is intact", "next: "]);
}

fn refused_and_kept(folder: &Path, disk: &str, texts: &[&str]) {
    let digest = || content_hash(&folder.join(disk));
    let before = digest();
    for more in [&[][..], &["--dry-run"]] {
        let arguments = ["flash", IMAGE, "--slot=b", "--disk", disk, "--progress=none"];
        flipslot(folder, &[&arguments[..], more].concat()).must_end(3, texts);
    }
    flipslot(folder, &["status", "--disk", disk]).must_end(3, texts);
    assert_eq!(digest(), before, "{disk}");
}

#[test]
fn of_two_flashes_at_once_the_second_is_refused_and_names_the_first() {
    let disk = Disk::with(&images::debian());
    let registry = stalling_registry(disk.folder());
    let reference = format!("docker://{}/x/y:1", registry.address);
    let mut flash = command(disk.folder(), &["flash", &reference, "--disk", NAME, "--slot=b", "--progress=none"]);
    let first = until_a_layer_is_written(&mut flash, "b");
    let process = format!("is locked by process {} (", first.0.id());
    disk.flash("oci:image:1", "b", &[]).must_end(3, &[&process, "flash docker://", "wait until it ends"]);
    assert_eq!(disk.status()["slots"][1]["holds"], "half", "who only looks need not wait");
    drop(first);
    images::no_kernel().write(&disk.folder().join("small"), "1");
    must_not_be_refused(&disk.flash("oci:small:1", "b", &[]));
}

#[test]
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn a_disk_that_another_program_has_locked_is_refused_until_it_is_released() {
    let disk = disk_and_image();
    let before = disk.content();
    let mut flock = Command::new("flock");
    flock.args(["--no-fork", &disk.path().to_string_lossy(), "sh", "-c", "echo locked; exec sleep 600"]);
    let mut holder = Guard(flock.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(holder.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    disk.flash(IMAGE, "b", &[]).must_end(3, &[&format!("is locked by process {} (sleep 600)", holder.0.id()), "wait"]);
    assert_eq!(disk.changed_since(&before), Vec::<u64>::new());
    drop(holder);
    must_not_be_refused(&disk.flash(IMAGE, "b", &[]));
}

#[test]
fn a_slot_under_a_loop_device_is_refused_until_that_is_detached() {
    let disk = disk_and_image();
    let before = disk.content();
    for over in [SLOT_B, SLOT_B.start + 5..SLOT_B.start + 6, 0..SLOT_B.start + 1] {
        let attached = disk.attach(&over);
        let texts = [&*format!("slot b is in use: {} is a loop device", attached.device), "losetup --detach"];
        disk.flash(IMAGE, "b", &[]).must_end(3, &texts);
    }
    assert_eq!(disk.changed_since(&before), Vec::<u64>::new());
    let _beside = disk.attach(&SLOT_A);
    must_not_be_refused(&disk.flash(IMAGE, "b", &[]));
    // That has left a filesystem in the slot.
    disk.look_into(&SLOT_B, |_| disk.flash(IMAGE, "b", &[]).must_end(3, &["slot b is in use", "umount"]));
    must_not_be_refused(&disk.flash(IMAGE, "b", &[]));
}
