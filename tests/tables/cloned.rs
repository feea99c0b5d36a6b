//! Copies of golden disks with other tables: as sound as theirs, and under names of their own.

use crate::support::disk::{Disk, MIB, NAME};
use crate::support::program::{assert_nothing_left, flipslot, tool};
use crate::tables::{entry_of, made, partitions, remove};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Clones the disk to `target`.
fn cloned(disk: &Disk, target: &str, more: &[&str]) {
    flipslot(disk.folder(), &[&["clone", NAME, target, "--progress=none"], more].concat()).must_end(0, &[]);
}

/// The copy as a disk, in a folder of its own.
fn moved(disk: &Disk, name: &str) -> Disk {
    let folder = tempfile::tempdir().unwrap().keep();
    std::fs::rename(disk.folder().join(name), folder.join(NAME)).unwrap();
    Disk::at(&folder)
}

fn signature(disk: &Disk) -> String {
    tool("sfdisk", &["--disk-id", &disk.path().to_string_lossy()]).trim().trim_start_matches("0x").to_owned()
}

/// What blkid calls the filesystem in some MiB.
fn uuid(disk: &Disk, mebibytes: &Range<u64>) -> String {
    let offset = format!("--offset={}", mebibytes.start * MIB);
    tool("blkid", &["-p", "-o", "value", "-s", "UUID", &offset, &disk.path().to_string_lossy()])
}

#[test]
fn a_copy_of_an_mbr_has_a_signature_of_its_own_and_data_that_takes_the_room() {
    let sizes = ["--size=2300MiB", "--slots=3", "--slot-size=64MiB", "--slot-size=a=1GiB", "--data"];
    let golden = made(&[&["--table=mbr"], &sizes[..]].concat());
    let (slot_a, slot_c, data) = (65..1089, 1154..1218, 1219..2299);
    assert_eq!(partitions(&golden).last().map(|(number, place, _)| (*number, place.clone())), Some((6, data.clone())));
    let offset = format!("lazy_itable_init=1,offset={}", data.start * MIB);
    let path = golden.path().to_string_lossy().into_owned();
    tool("mke2fs", &["-q", "-F", "-t", "ext4", "-E", &offset, &path, &format!("{}k", (data.end - data.start) * 1024)]);

    cloned(&golden, "same.raw", &[]);
    cloned(&golden, "large.raw", &["--size=3GiB"]);
    let (same, large) = (moved(&golden, "same.raw"), moved(&golden, "large.raw"));
    assert_eq!(partitions(&same), partitions(&golden));
    let mut grown = partitions(&golden);
    grown[3].1.end = 3071; // the extended one
    grown[5].1.end = 3071;
    assert_eq!(partitions(&large), grown);
    for copy in [&same, &large] {
        let said = tool("sfdisk", &["--verify", &copy.path().to_string_lossy()]);
        assert!(said.contains("No errors detected"), "{said}");
        let boot = copy.extracted(&(1..65));
        tool("fsck.vfat", &["-n", &boot.path().to_string_lossy()]);
        [&slot_a, &data].iter().for_each(|place| copy.must_be_clean(place));
        assert_ne!(signature(copy), signature(&golden));
        let entry = entry_of(&boot, 'a');
        assert!(entry.contains(&format!("root=PARTUUID={}-02", signature(copy))), "{entry}");
        assert!(!entry.contains(&signature(&golden)), "{entry}");
        for place in [&(1..65), &slot_a, &data] {
            assert_ne!(uuid(copy, place), uuid(&golden, place));
        }
        let slots: Vec<String> =
            copy.status()["slots"].as_array().unwrap().iter().map(|slot| slot["partuuid"].to_string()).collect();
        assert_eq!(slots, ["02", "03", "05"].map(|number| format!("\"{}-{number}\"", signature(copy))));
        assert_eq!(copy.bytes(slot_c.clone()), golden.bytes(slot_c.clone()), "between the sectors that changed");
    }
    assert_ne!(signature(&same), signature(&large));
    let filesystem = tool("dumpe2fs", &["-h", &large.slot_for_e2fsprogs(&data)]);
    let blocks = filesystem.lines().find_map(|line| line.strip_prefix("Block count:")).unwrap().trim().to_owned();
    assert_eq!(blocks, ((3071 - data.start) * MIB / 4096).to_string(), "the filesystem has the room, too");
    [golden, same, large].iter().for_each(remove);
}

#[test]
fn a_copy_of_a_disk_with_4096_byte_sectors_is_one_and_goes_to_no_other_disk() {
    let golden =
        made(&["--sector-size=4096", "--size=2GiB", "--slots=1", "--slot-size=1GiB", "--data", "--filesystem=xfs"]);
    let lent = golden.folder().join("disk");
    File::create(&lent).unwrap().set_len(2500 * MIB).unwrap();
    let attach = |sector: &str| {
        let sector = format!("--sector-size={sector}");
        tool("losetup", &["--find", "--show", &sector, &lent.to_string_lossy()]).trim().to_owned()
    };
    let device = attach("512");
    let run = flipslot(golden.folder(), &["clone", NAME, &device, "--progress=none"]);
    tool("losetup", &["--detach", &device]);
    run.must_end(3, &["sectors of 512 bytes", "name disks with sectors of 4096 bytes"]);

    let device = attach("4096");
    cloned(&golden, &device, &[]);
    let said = tool("sgdisk", &["--verify", "--print", &device]);
    tool("losetup", &["--detach", &device]);
    assert!(said.contains("No problems found") && said.contains("4096 bytes"), "{said}");
    assert!(said.contains(&format!("{}", (2499 * MIB) / 4096 - 1)), "data ends where the last whole MiB does: {said}");
    let copy = moved(&golden, "disk");
    let (boot, slot) = (copy.extracted(&(2..290)), copy.extracted(&(290..1314)));
    tool("fsck.vfat", &["-n", &boot.path().to_string_lossy()]);
    tool("xfs_repair", &["-n", "-f", &slot.path().to_string_lossy()]);
    for place in [&(2..290), &(290..1314)] {
        assert_ne!(uuid(&copy, place), uuid(&golden, place));
    }
    let root = copy.status()["slots"][0]["partuuid"].as_str().unwrap().to_owned();
    assert!(entry_of(&boot, 'a').contains(&format!("root=PARTUUID={root}")));
    assert_ne!(golden.status()["slots"][0]["partuuid"], root);
    assert_nothing_left(golden.folder(), &[NAME]);
    [golden, copy].iter().for_each(remove);
}

/// Adds partitions by sfdisk: lines of its script.
fn append(disk: &Disk, lines: &str) {
    let script = format!("printf '{lines}' | sfdisk --quiet --append --no-reread --no-tell-kernel \"$0\"");
    tool("sh", &["-c", &script, &disk.path().to_string_lossy()]);
}

#[test]
fn copies_of_an_mbr_that_others_have_added_to_have_every_partition_where_it_was_and_data_grown() {
    let sizes = ["--size=2300MiB", "--slots=2", "--slot-size=64MiB", "--slot-size=a=1GiB"];
    let golden = made(&[&["--table=mbr"], &sizes[..]].concat());
    // Logical partitions that are not in the order of the disk, in one that reaches to its end; a second ESP.
    append(&golden, "1153M,,05\\n1300M,900M,83\\n1160M,40M,ef\\n1210M,40M,82\\n");
    golden.file().write_all_at(&[0x5a; 4096], 1170 * MIB).unwrap();
    assert_eq!(partitions(&golden).len(), 7);
    let smaller = flipslot(golden.folder(), &["clone", NAME, "smaller.raw", "--size=2250MiB", "--progress=none"]);
    smaller.must_end(3, &["need 2.2GiB"]);
    cloned(&golden, "large.raw", &["--size=3GiB"]);
    let large = moved(&golden, "large.raw");
    let mut grown = partitions(&golden);
    for partition in grown.iter_mut().filter(|(number, ..)| [4, 5].contains(number)) {
        partition.1.end = 3071;
    }
    assert_eq!(partitions(&large), grown);
    assert_eq!(large.bytes(1170..1171), golden.bytes(1170..1171), "what is no slot is copied, too");
    tool("mdel", &["-i", &format!("{}@@1M", golden.path().display()), "::flipslot/slots.json"]);
    let run = flipslot(golden.folder(), &["clone", NAME, "copy.raw", "--progress=none"]);
    run.must_end(3, &["does not say which partitions are slots"]);
    assert_nothing_left(golden.folder(), &[NAME]);
    [golden, large].iter().for_each(remove);
}

#[test]
fn data_that_is_primary_and_behind_an_extended_partition_grows_by_itself() {
    let sizes = ["--size=2300MiB", "--slots=1", "--slot-size=1GiB"];
    let golden = made(&[&["--table=mbr"], &sizes[..]].concat());
    append(&golden, "1100M,100M,05\\n1200M,900M,83\\n1110M,50M,82\\n");
    cloned(&golden, "large.raw", &["--size=3GiB"]);
    let large = moved(&golden, "large.raw");
    let mut grown = partitions(&golden);
    grown.iter_mut().filter(|(number, ..)| *number == 4).for_each(|partition| partition.1.end = 3071);
    assert_eq!(partitions(&large), grown);
    [golden, large].iter().for_each(remove);
}
