//! Disks with other tables than a GPT of 512-byte sectors, judged by sfdisk, sgdisk, fsck and GRUB.

mod cloned;
mod damaged;
mod foreign;
mod keep_data;

use crate::cli::images;
use crate::support::disk::{Disk, MIB, NAME};
use crate::support::program::{assert_nothing_left, flipslot, tool};
use serde_json::Value;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use tempfile::NamedTempFile;

pub fn debian() -> String {
    format!("oci:{}:latest", images::debian().display())
}

/// A disk with Debian 12 in slot a, made with more words.
fn made(more: &[&str]) -> Disk {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::at(&folder.keep());
    let slot = format!("--slot=a={}", debian());
    let create = ["create", NAME, "--progress=none", "--hardware=qemu", "--console=ttyS0", &slot];
    flipslot(disk.folder(), &[&create[..], more].concat()).must_end(0, &[]);
    assert_nothing_left(disk.folder(), &[NAME]);
    disk
}

fn remove(disk: &Disk) {
    std::fs::remove_dir_all(disk.folder()).unwrap();
}

/// The partitions as sfdisk reads them: number by number the MiB that it has.
fn partitions(disk: &Disk) -> Vec<(u64, Range<u64>, String)> {
    let table: Value = serde_json::from_str(&tool("sfdisk", &["--json", &disk.path().to_string_lossy()])).unwrap();
    let table = &table["partitiontable"];
    let all = table["partitions"].as_array().unwrap().iter().map(|partition| {
        let name = partition["node"].as_str().unwrap();
        let number = name.strip_prefix(&*disk.path().to_string_lossy()).unwrap().parse().unwrap();
        let mib = |what: &str| partition[what].as_u64().unwrap() * 512 / MIB;
        (number, mib("start")..mib("start") + mib("size"), partition["type"].as_str().unwrap().to_owned())
    });
    all.collect()
}

#[test]
fn an_mbr_disk_has_logical_partitions_past_the_third_and_all_tools_read_it() {
    let sizes = ["--size=3GiB", "--slots=3", "--slot-size=800MiB", "--slot-size=c=700MiB", "--data"];
    let disk = made(&[&["--table=mbr"], &sizes[..]].concat());
    let path = disk.path().to_string_lossy().into_owned();
    let said = tool("sfdisk", &["--verify", &path]);
    assert!(said.contains("No errors detected"), "{said}");
    let kind = |kind: &str| kind.to_owned();
    let expected = vec![
        (1, 1..65, kind("ef")),
        (2, 65..865, kind("83")),
        (3, 865..1665, kind("83")),
        (4, 1665..3071, kind("f")),
        (5, 1666..2366, kind("83")),
        (6, 2367..3071, kind("83")),
    ];
    assert_eq!(partitions(&disk), expected);

    let status = disk.status();
    let named: Vec<&str> =
        status["slots"].as_array().unwrap().iter().map(|slot| slot["partuuid"].as_str().unwrap()).collect();
    let signature = tool("sfdisk", &["--disk-id", &path]).trim().trim_start_matches("0x").to_owned();
    assert_eq!(named, ["02", "03", "05"].map(|number| format!("{signature}-{number}")));
    let boot = disk.extracted(&(1..65));
    tool("fsck.vfat", &["-n", &boot.path().to_string_lossy()]);
    disk.must_be_clean(&(65..865));
    let entry = entry_of(&boot, 'a');
    assert!(entry.contains("$boot_disk,msdos2"), "{entry}");
    assert!(entry.contains(&format!("root=PARTUUID={signature}-02")), "{entry}");

    // Data is not the slots', and a flash leaves it alone.
    disk.file().write_all_at(&[0xda; 4096], 2367 * MIB).unwrap();
    let before = disk.content();
    disk.flash(&debian(), "c", &[]).must_end(0, &[]);
    let outside: Vec<u64> = disk
        .changed_since(&before)
        .into_iter()
        .filter(|mib| !(1..65).contains(mib) && !(1666..2366).contains(mib))
        .collect();
    assert!(outside.is_empty(), "{outside:?}");
    disk.must_be_clean(&(1666..2366));
    assert!(entry_of(&disk.extracted(&(1..65)), 'c').contains("$boot_disk,msdos5"));
    disk.flash(&debian(), "d", &[]).must_end(3, &["no slot d"]);
    remove(&disk);
}

fn entry_of(boot: &NamedTempFile, slot: char) -> String {
    tool("mcopy", &["-i", &boot.path().to_string_lossy(), &format!("::flipslot/slot-{slot}.cfg"), "-"])
}

#[test]
fn two_slots_and_nothing_else_are_primary_partitions() {
    let disk = made(&["--table=mbr", "--size=2GiB"]);
    let numbers: Vec<u64> = partitions(&disk).into_iter().map(|(number, ..)| number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    remove(&disk);
}

#[test]
fn a_disk_of_4096_byte_sectors_has_table_and_filesystems_of_that_size() {
    let disk = made(&["--sector-size=4096", "--size=2GiB", "--filesystem=xfs"]);
    let path = disk.path().to_string_lossy().into_owned();
    let device = tool("losetup", &["--find", "--show", "--read-only", "--sector-size=4096", &path]);
    let device = device.trim();
    let said = tool("sgdisk", &["--verify", device]);
    let numbers = tool("sgdisk", &["--print", device]);
    tool("losetup", &["--detach", device]);
    assert!(said.contains("No problems found"), "{said}");
    assert!(numbers.contains("4096 bytes") && numbers.contains("slot-b"), "{numbers}");
    let boot = disk.extracted(&(2..290));
    tool("fsck.vfat", &["-n", &boot.path().to_string_lossy()]);
    assert!(entry_of(&boot, 'a').contains("$boot_disk,gpt3"));
    let slot = disk.extracted(&(290..1168));
    tool("xfs_repair", &["-n", "-f", &slot.path().to_string_lossy()]);
    let said = tool("xfs_db", &["-r", "-f", "-c", "sb 0", "-c", "p sectsize", &slot.path().to_string_lossy()]);
    assert!(said.contains("sectsize = 4096"), "{said}");
    disk.flash(&debian(), "b", &["--filesystem=ext4"]).must_end(0, &[]);
    disk.must_be_clean(&(1168..2046));
    remove(&disk);
}

#[test]
fn tables_that_cannot_be_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let slot = format!("--slot=a={}", debian());
    for (words, code, says) in [
        (&["--table=mbr", "--size=3TiB"][..], 3, "an MBR reaches only the first 2TiB"),
        (&["--table=mbr", "--size=2GiB", "--sector-size=4096"], 3, "no BIOS boots from sectors of 4096 bytes"),
        (&["--size=2GiB", "--sector-size=1000"], 3, "sectors of 1000 bytes"),
        (&["--size=2GiB", "--slot-size=d=1GiB"], 2, "--slot-size is given for slot d"),
        (&["--size=2GiB", "--slot-size=b=1950MiB"], 3, "too small"),
        (&["--size=2GiB", "--slot-size=b=1GiB", "--data"], 2, "give their size"),
    ] {
        let create = ["create", NAME, "--progress=none", &slot];
        flipslot(folder.path(), &[&create[..], words].concat()).must_end(code, &[says]);
        assert_nothing_left(folder.path(), &[]);
    }
}
