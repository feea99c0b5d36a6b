//! Slots with btrfs: made by `create`, made again by `flash`, and judged by btrfs-progs and GRUB; and
//! slots of one disk that have different filesystems.

use crate::cli::images;
use crate::support::disk::{Disk, NAME, SLOT_A, SLOT_B, content_hash};
use crate::support::program::{assert_nothing_left, command, ended, flipslot, tool, unmount};
use flipslot::filesystem::features::Features;
use std::fs;
use std::ops::Range;

fn debian() -> String {
    format!("oci:{}:latest", images::debian().display())
}

/// Fails unless the slot is what its record says for everyone who reads it: clean btrfs with its label
/// and UUID, and metadata twice, from which GRUB reads what was recorded.
fn must_be_whole(disk: &Disk, slot: &str, place: &Range<u64>) {
    let file = disk.extracted(place);
    let path = file.path().to_string_lossy();
    tool("btrfs", &["check", "--readonly", "--check-data-csum", &path]);
    let record = disk.must_be_read_by_grub(slot, file.path(), "btrfs");
    let superblock = tool("btrfs", &["inspect-internal", "dump-super", &path]);
    let says = |key: &str| superblock.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim();
    assert_eq!(says("label"), format!("slot-{slot}"));
    assert_eq!(says("fsid"), record["filesystem_uuid"].as_str().unwrap());
    assert_eq!((says("sectorsize"), says("nodesize"), says("num_devices")), ("4096", "16384", "1"));
    let chunks = tool("btrfs", &["inspect-internal", "dump-tree", "--tree=chunk", &path]);
    let types = chunks.lines().filter_map(|line| line.split_once(" type ")).map(|(_, kind)| kind);
    let types: Vec<&str> = types.filter(|kind| kind.contains('|')).collect();
    assert!(
        !types.is_empty() && types.iter().all(|kind| kind.contains("DUP") != kind.starts_with("DATA")),
        "{types:?}"
    );
}

fn features_of(disk: &Disk, place: &Range<u64>) -> Vec<String> {
    let features = Features::read(disk.extracted(place).path()).unwrap().unwrap();
    features.names().into_iter().map(ToOwned::to_owned).collect()
}

/// The features of a slot with btrfs, as every kernel and GRUB reads it.
const FEATURES: [&str; 7] = [
    "free-space-tree",
    "free-space-tree-valid",
    "mixed-backref",
    "big-metadata",
    "extref",
    "skinny-metadata",
    "crc32c",
];

#[test]
fn f15_a_slot_with_btrfs_is_clean_and_read_by_grub_and_a_flash_makes_the_same_again() {
    let disk = Disk::made(&images::debian(), &["--filesystem=btrfs"]);
    must_be_whole(&disk, "a", &SLOT_A);
    assert_eq!(features_of(&disk, &SLOT_A), FEATURES);
    let drivers = disk.status()["slots"][0]["drivers"].to_string();
    assert!(["btrfs", "raid6_pq", "xor"].iter().all(|driver| drivers.contains(driver)), "{drivers}");

    let run = disk.flash(&debian(), "b", &[]);
    run.must_end(0, &[]);
    assert!(!run.stderr.contains("GRUB"), "{}", run.stderr);
    assert_nothing_left(disk.folder(), &[NAME]);
    must_be_whole(&disk, "b", &SLOT_B);
    assert_eq!(features_of(&disk, &SLOT_B), FEATURES);
    assert_eq!(disk.status()["slots"][1]["filesystem"], "btrfs");

    let options = ["--mkfs-options=-O no-holes -m single"];
    disk.flash(&debian(), "b", &options).must_end(0, &["GRUB 2.06, as released, does not read: no-holes"]);
    assert!(features_of(&disk, &SLOT_B).contains(&"no-holes".to_owned()));

    // What stands there is btrfs, too, and would be written to.
    let before = disk.content();
    disk.flash(&debian(), "b", &["--mkfs-options=-O list-all"]).must_end(1, &["did not make the requested filesystem"]);
    let of_boot = disk.changed_since(&before).into_iter().all(|mebibyte| mebibyte < SLOT_A.start);
    assert!(of_boot, "the slot is what it was: its withdrawal alone is written");
    disk.flash(&debian(), "b", &["--filesystem=ext4"]).must_end(0, &[]);
    disk.must_be_clean(&SLOT_B);
    assert!(disk.boot_file("flipslot/slot-b.cfg").contains("'rootfstype=ext4'"));
    must_be_whole(&disk, "a", &SLOT_A);
}

#[test]
fn a_slot_with_btrfs_is_looked_into_without_a_change() {
    let disk = Disk::made(&images::debian(), &["--filesystem=btrfs"]);
    let before = disk.content();
    let check = ["check", "--disk", NAME, "--slot=a", "--hardware=qemu", "--progress=none", "--allow=reachable"];
    let run = flipslot(disk.folder(), &check);
    run.must_end(0, &[]);
    assert_eq!(disk.changed_since(&before), Vec::<u64>::new());
    assert_nothing_left(disk.folder(), &[NAME]);
}

#[test]
fn slots_of_one_disk_have_the_filesystems_that_were_named_for_each() {
    let second = format!("--slot=b={}", debian());
    let disk = Disk::made(&images::debian(), &[&second, "--filesystem=btrfs", "--filesystem=b=xfs"]);
    must_be_whole(&disk, "a", &SLOT_A);
    let extracted = disk.extracted(&SLOT_B);
    tool("xfs_repair", &["-n", "-f", &extracted.path().to_string_lossy()]);
    disk.must_be_read_by_grub("b", extracted.path(), "xfs");
    // A flash without a word takes that of the other slot; a config may have a word for each.
    disk.flash(&debian(), "b", &[]).must_end(0, &[]);
    must_be_whole(&disk, "b", &SLOT_B);
    fs::write(disk.folder().join("disk.toml"), "[filesystem]\na = 'xfs'\nb = 'ext4'\n").unwrap();
    disk.flash(&debian(), "b", &["--config=disk.toml"]).must_end(0, &[]);
    disk.must_be_clean(&SLOT_B);
}

#[test]
fn what_cannot_be_of_a_slots_filesystem_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    fs::write(folder.path().join("odd.toml"), "[filesystem]\na = 'ntfs'\n").unwrap();
    fs::write(folder.path().join("other"), vec![0; 1 << 20]).unwrap();
    let create = ["create", "d.raw", "--slot=a=oci:image:1", "--slot=b=oci:image:1", "--size=280MiB"];
    for (code, words, texts) in [
        (3, &["--filesystem=btrfs"][..], &["slot a has 106MiB, but btrfs needs at least 109MiB", "a=ext4"][..]),
        (3, &["--filesystem=b=btrfs"], &["slot b has 106MiB, but btrfs needs at least 109MiB", "b=ext4"]),
        (2, &["--filesystem=ntfs"], &["'ntfs' is not a filesystem", "ext4, xfs, btrfs"]),
        (2, &["--filesystem=b=ntfs"], &["'ntfs' is not a filesystem", "ext4, xfs, btrfs"]),
        (2, &["--filesystem=bb=xfs"], &["'bb' is not a slot"]),
        (2, &["--filesystem=c=xfs"], &["names slot c, but nothing is written into that one"]),
        (2, &["--filesystem=b=btrfs", "--mkfs-options=-K"], &["slot a gets ext4, and slot b gets btrfs"]),
        (2, &["--filesystem=btrfs", "--mkfs-options=-K other"], &["contains 'other'", "next: "]),
        (2, &["--filesystem=btrfs", "--mkfs-options=--rootdir=image"], &["contains '--rootdir=image'", "next: "]),
        (2, &["--config=odd.toml"], &["odd.toml", "neither a value that its flag takes"]),
    ] {
        flipslot(folder.path(), &[&create[..], words].concat()).must_end(code, texts);
    }
    fs::create_dir(folder.path().join("bin")).unwrap();
    let mut poor = command(folder.path(), &[&create[..], &["--filesystem=b=btrfs"]].concat());
    let tools = ["mke2fs", "e2fsck", "unshare"].map(|name| tool("which", &[name]));
    for place in tools {
        let name = place.trim().rsplit('/').next().unwrap().to_owned();
        std::os::unix::fs::symlink(place.trim(), folder.path().join("bin").join(name)).unwrap();
    }
    ended(poor.env("PATH", folder.path().join("bin")))
        .must_end(3, &["slot b", "mkfs.btrfs is not installed", "apt-get install btrfs-progs"]);
    assert_eq!(fs::read(folder.path().join("other")).unwrap(), vec![0; 1 << 20]);
    assert_nothing_left(folder.path(), &["bin", "image", "odd.toml", "other"]);
}

#[test]
fn f6_a_btrfs_that_is_newer_than_the_slots_kernel_fails_and_is_made_again_where_it_shall_be_mended() {
    // Zones (Linux 5.12) want slots of more than 3 GiB; the file has holes.
    let folder = tempfile::tempdir().unwrap();
    let image = format!("--slot=a=oci:{}:latest", images::debian_called("bullseye").display());
    let words = ["--filesystem=btrfs", "--mkfs-options=-O zoned -m single", "--hardware=qemu", "--console=ttyS0"];
    let create = ["create", NAME, "--size=4300MiB", "--slots=1", "--progress=none", &image];
    let arguments = [&create[..], &words].concat();
    flipslot(folder.path(), &arguments)
        .must_end(1, &["kernel 5.10.", "does not know: zoned", "--fix filesystem-kernel"]);
    assert_nothing_left(folder.path(), &[]);
    flipslot(folder.path(), &[&arguments[..], &["--fix=filesystem-kernel"]].concat()).must_end(0, &[]);
    let disk = Disk::at(folder.path());
    assert_eq!(disk.status()["slots"][0]["mended"][0]["rule"], "filesystem-kernel");
    let slot = SLOT_A.start..4299;
    assert_eq!(features_of(&disk, &slot), FEATURES);
    must_be_whole(&disk, "a", &slot);
}

#[test]
fn a_device_of_a_mounted_btrfs_is_refused_though_the_mount_has_another_number() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    let file = folder.path().join("backing");
    fs::File::create(&file).unwrap().set_len(600 << 20).unwrap();
    tool("mkfs.btrfs", &["-q", &file.to_string_lossy()]);
    let device = tool("losetup", &["--find", "--show", &file.to_string_lossy()]).trim().to_owned();
    let mounted = folder.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    tool("mount", &["-o", "ro", &device, &mounted.to_string_lossy()]);
    let before = content_hash(&file);
    let run = flipslot(folder.path(), &["create", &device, "--slot=a=oci:image:1", "--yes"]);
    let after = content_hash(&file);
    unmount(&mounted);
    tool("losetup", &["--detach", &device]);
    run.must_end(3, &["is in use", "mounted at", "umount"]);
    assert_eq!(before, after);
}
