//! Copies that are whole: sound, each with names of its own, and what was there before is gone.

use crate::cli::images;
use crate::clone::disks::{LoopDisk, boot_file, bytes, clone, golden, hash_of, is_zero, must_be_sound, names, result};
use crate::support::disk::{Disk, MIB, SLOT_A, SLOT_B};
use crate::support::program::{assert_nothing_left, flipslot, tool};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A digest of all files in slot a: names, modes, owners and contents.
fn files(disk: &Path) -> String {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().to_string_lossy();
    let size = (SLOT_A.end - SLOT_A.start) * MIB;
    let options = format!("ro,noload,loop,offset={},sizelimit={size}", SLOT_A.start * MIB);
    tool("mount", &["-t", "ext4", "-o", &options, &disk.to_string_lossy(), &folder]);
    let list = "cd \"$0\" && { find . -printf '%p %m %U:%G %y %l\\n' | LC_ALL=C sort; \
                find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; } | sha256sum";
    let digest = tool("sh", &["-c", list, &folder]);
    tool("umount", &[&folder]);
    digest
}

/// Fails unless slot a of `disk` boots from its own partition, by what stands on the boot partition.
fn must_boot_itself(disk: &Path) {
    let info = tool("sgdisk", &["--info", "3", &disk.to_string_lossy()]);
    let guid = info.lines().find_map(|line| line.strip_prefix("Partition unique GUID: ")).unwrap();
    let root = format!("root=PARTUUID={}", guid.to_ascii_lowercase());
    assert!(boot_file(disk, "flipslot/slot-a.cfg").contains(&format!("'{root}'")));
    let record: Value = serde_json::from_str(&boot_file(disk, "flipslot/slot-a.json")).unwrap();
    assert_eq!(record["entry"]["cmdline"][0], root);
    let offset = format!("--offset={}", SLOT_A.start * MIB);
    let uuid = tool("blkid", &["-p", "-o", "value", "-s", "UUID", &offset, &disk.to_string_lossy()]);
    assert_eq!(record["filesystem_uuid"], uuid.trim());
}

#[test]
fn copies_are_sound_have_no_name_in_common_and_hold_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    // Larger than the golden disk, and full of something else where that has nothing.
    let large = LoopDisk::over(&folder.path().join("large"), 3 * 1024);
    let garbage = vec![0x5a; usize::try_from(MIB).unwrap()];
    let device = File::options().write(true).open(&large.device).unwrap();
    for mebibyte in [0, 1, 70, 900, 1090, 1500, 2113, 2280, 2299, 3070, 3071] {
        device.write_all_at(&garbage, mebibyte * MIB).unwrap();
    }
    drop(device);
    let run = clone(folder.path(), &golden(), &[&large.device, "same.raw"], &["--yes", &large.meant(), "--json"]);
    run.must_end(0, &[]);
    let said = result(&run);
    let (same, large) = (folder.path().join("same.raw"), detached(large));
    for (disk, json) in [&large, &same].into_iter().zip(said["disks"].as_array().unwrap()) {
        must_be_sound(disk);
        must_boot_itself(disk);
        assert_eq!(files(disk), files(&golden()));
        assert!(names(disk).contains(json["disk_guid"].as_str().unwrap()), "{json}");
        assert_eq!((&json["outcome"], &json["error"]), (&"cloned".into(), &Value::Null));
        assert_eq!(json["hash"], hash_of(&golden(), 2299), "as docs/clone.md says");
        assert!(json["bytes_written"].as_u64().unwrap() < 1200 * MIB, "of 2300 MiB: {json}");
        for mebibyte in SLOT_B {
            assert!(is_zero(&bytes(disk, mebibyte)), "MiB {mebibyte} is zero on the golden disk");
        }
    }
    assert_ne!(bytes(&large, 3070), garbage, "nor what an older use has left at the end of data");
    let (one, other, first) = (names(&large), names(&same), names(&golden()));
    assert_eq!((one.len(), other.len()), (9, 9), "a disk, five partitions, three filesystems: {one:?}");
    assert!(one.is_disjoint(&other) && one.is_disjoint(&first) && other.is_disjoint(&first));
    assert!(std::fs::metadata(&same).unwrap().blocks() * 512 < 1200 * MIB, "a file stays sparse");

    let table = tool("sgdisk", &["--print", &large.to_string_lossy()]);
    assert!(table.contains("last usable sector is 6291422"), "the backup table is at the end: {table}");
    let data = tool("sgdisk", &["--info", "5", &large.to_string_lossy()]);
    assert!(data.contains(&format!("Last sector: {} ", 3071 * MIB / 512 - 1)), "{data}");
    let grown = tool("dumpe2fs", &["-h", &format!("{}?offset={}", large.display(), 2114 * MIB)]);
    let count =
        |what: &str| -> u64 { grown.lines().find_map(|line| line.strip_prefix(what)).unwrap().trim().parse().unwrap() };
    assert_eq!(count("Block count:") * count("Block size:"), (3071 - 2114) * MIB, "the filesystem, too");
}

#[test]
fn a_block_device_with_xfs_is_copied_and_what_stays_the_same_is_said() {
    let disk = Disk::made(&images::debian(), &["--filesystem=xfs"]);
    let info = tool("sgdisk", &["--info", "5", &disk.path().to_string_lossy()]);
    let data = info.lines().find_map(|line| line.strip_prefix("Partition unique GUID: ")).unwrap();
    let attached = disk.attach(&SLOT_A);
    let place = tempfile::tempdir().unwrap();
    tool("mount", &["-t", "xfs", &attached.device, &place.path().to_string_lossy()]);
    std::fs::write(place.path().join("etc/fstab"), format!("# mine\nPARTUUID={data} /srv ext4\n")).unwrap();
    std::fs::write(place.path().join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    tool("umount", &[&place.path().to_string_lossy()]);
    drop(attached);

    let source = LoopDisk::over(&disk.path(), 2300);
    let run = clone(disk.folder(), Path::new(&source.device), &["copy.raw"], &[]);
    run.must_end(0, &["slot a: /etc/fstab line 2 names the golden disk", "/etc/machine-id"]);
    drop(source);
    let copy = disk.folder().join("copy.raw");
    let said = tool("sgdisk", &["--verify", &copy.to_string_lossy()]);
    assert!(said.contains("No problems found"), "{said}");
    assert!(names(&copy).is_disjoint(&names(&disk.path())));
    must_boot_itself(&copy);
    let slot = tempfile::NamedTempFile::new().unwrap();
    let (from, to) = (format!("if={}", copy.display()), format!("of={}", slot.path().display()));
    tool("dd", &["bs=1M", "conv=sparse", "status=none", &from, &to, "skip=66", "count=1024"]);
    tool("xfs_repair", &["-n", "-f", &slot.path().to_string_lossy()]);
    assert!(std::fs::metadata(&copy).unwrap().blocks() * 512 < 1200 * MIB, "zeros of a device are found");
    assert_nothing_left(disk.folder(), &["copy.raw", "d.raw"]);
}

/// The disk as a file, with no loop device over it that would be in the way.
fn detached(disk: LoopDisk) -> PathBuf {
    let file = disk.file.clone();
    drop(disk);
    file
}

#[test]
fn a_copy_of_btrfs_has_a_uuid_of_its_own_in_every_block() {
    let disk = Disk::made(&images::debian(), &["--filesystem=btrfs"]);
    clone(disk.folder(), &disk.path(), &["copy.raw"], &[]).must_end(0, &[]);
    let copy = disk.folder().join("copy.raw");
    must_boot_itself(&copy);
    let slot = tempfile::NamedTempFile::new().unwrap();
    let (from, to) = (format!("if={}", copy.display()), format!("of={}", slot.path().display()));
    tool("dd", &["bs=1M", "conv=sparse", "status=none", &from, &to, "skip=66", "count=1024"]);
    tool("btrfs", &["check", "--readonly", &slot.path().to_string_lossy()]);
    let uuid = |at: &Path, offset: u64| {
        let offset = format!("--offset={}", offset * MIB);
        tool("blkid", &["-p", "-o", "value", "-s", "UUID", &offset, &at.to_string_lossy()])
    };
    assert_eq!(uuid(slot.path(), 0), uuid(&copy, SLOT_A.start));
    assert_ne!(uuid(&copy, SLOT_A.start), uuid(&disk.path(), SLOT_A.start));
}

#[test]
fn data_with_xfs_or_btrfs_is_as_large_as_its_larger_disk_lets_it_be() {
    for (make, check, size) in [
        ("mkfs.xfs -q -f", "xfs_repair -n", "xfs_db -r -c 'sb 0' -c 'p dblocks' $0 | sed 's/.*= //'"),
        (
            "mkfs.btrfs -q -f",
            "btrfs check --readonly",
            "echo $(( $(btrfs inspect-internal dump-super $0 | sed -n 's/^total_bytes//p') / 4096 ))",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let slot = format!("--slot=a=oci:{}:latest", images::debian().display());
        let create =
            ["create", "d.raw", "--size=1700MiB", "--slots=1", "--slot-size=1GiB", "--data", "--hardware=qemu"];
        flipslot(folder.path(), &[&create[..], &["--progress=none", &slot]].concat()).must_end(0, &[]);
        let disk = Disk::at(folder.path());
        let (data, grown) = (1090..1699, 1090..2999);
        let attached = disk.attach(&data);
        tool("sh", &["-c", &format!("{make} $0"), &attached.device]);
        drop(attached);
        let run = clone(folder.path(), &disk.path(), &["copy.raw"], &["--size=3000MiB", "--json"]);
        run.must_end(0, &[]);
        assert_eq!(result(&run)["disks"][0]["left"], serde_json::json!([]), "{make}");
        std::fs::rename(folder.path().join("copy.raw"), disk.path()).unwrap();
        let attached = disk.attach(&grown);
        tool("sh", &["-c", &format!("{check} $0"), &attached.device]);
        let blocks: u64 = tool("sh", &["-c", size, &attached.device]).trim().parse().unwrap();
        assert_eq!(blocks * 4096, (grown.end - grown.start) * MIB, "{make}");
    }
}
