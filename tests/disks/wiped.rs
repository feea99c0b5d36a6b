//! What is left of an old disk on a new one: nothing that blkid or wipefs takes for anything.

use crate::cli::images;
use crate::disks::lab::{Lab, MIB, alone};
use crate::disks::signatures::{BY_HAND, Make, kind_at};
use crate::support::program::tool;
use std::path::Path;

/// The disk, in bytes, and its partitions in MiB: GRUB's core, the boot partition, two slots, data.
const SIZE: u64 = 2400 * MIB;
const PARTITIONS: [(u64, u64); 5] = [(1, 1), (2, 64), (66, 1000), (1066, 1000), (2066, 333)];

/// What is made at these places, in bytes, is seen there beforehand, and gone afterwards.
fn create_over(make: &[(&str, Make)], places: &[(u64, u64)], lab: &mut Lab) {
    let backing = lab.backing();
    for (kind, make) in make {
        for (start, size) in places {
            make(Path::new(&backing), *start, *size);
            let seen = kind_at(&backing, *start, *size);
            assert!([*kind, "several", "linux_raid_member"].contains(&seen.as_str()), "{kind}: {seen}");
        }
    }
    // With a partition that the kernel has known from an older table, and must forget.
    let disk = lab.attach("backing", &["--partscan"]);
    tool("addpart", &[&disk, "1", "2048", "131072"]);
    let slot = format!("--slot=a=oci:{}:latest", images::debian().display());
    let serial = format!("--expect-serial={backing}");
    let kinds: Vec<&str> = make.iter().map(|(kind, _)| *kind).collect();
    let destroy = format!("--destroy={}", kinds.join(","));
    let words = ["create", &disk, "--progress=none", "--hardware=qemu", "--slot-size=1000MiB", "--data", &slot];
    let more = ["--yes", &serial, if kinds.is_empty() { "--slots=2" } else { &destroy }];
    let run = crate::support::program::flipslot(lab.folder(), &[&words[..], &more].concat());
    run.must_end(0, &[]);
    assert!(!run.stderr.contains("still uses"), "{}", run.stderr);
    assert!(!Path::new(&format!("{disk}p1")).exists(), "the kernel reads the table again");
    tool("blockdev", &["--flushbufs", &disk]);
    must_be_what_was_made(lab, &disk);
}

fn must_be_what_was_made(lab: &mut Lab, disk: &str) {
    let backing = &lab.backing();
    let kinds = PARTITIONS.map(|(start, size)| kind_at(backing, start * MIB, size * MIB));
    assert_eq!(kinds, ["", "vfat", "ext4", "", ""]);
    assert_eq!(kind_at(backing, 0, SIZE), "");
    let signatures = |path: &str| -> Vec<String> {
        let printed = tool("wipefs", &["--no-act", "--noheadings", "--output=TYPE", path]);
        printed.lines().map(|line| line.trim().to_owned()).collect()
    };
    let mut of_disk = signatures(disk);
    of_disk.sort();
    assert_eq!(of_disk, ["PMBR", "gpt", "gpt"]);
    for ((start, size), expected) in PARTITIONS.iter().zip([&[][..], &["vfat"; 3], &["ext4"], &[], &[]]) {
        let (offset, limit) = (format!("--offset={start}MiB"), format!("--sizelimit={size}MiB"));
        let device = lab.attach("backing", &["--read-only", &offset, &limit]);
        let found = signatures(&device);
        tool("losetup", &["--detach", &device]);
        lab.forget_last();
        assert_eq!(found, expected, "the partition at {start} MiB");
    }
    let table = tool("sgdisk", &["--verify", backing]);
    assert!(table.contains("No problems found"), "{table}");
}

#[test]
fn old_members_of_the_whole_disk_and_of_every_place_where_a_partition_begins_are_gone() {
    let _alone = alone();
    // ZFS's labels, RAID's superblocks at either end, and what lies more than a MiB from both.
    let places = [(66 * MIB, 1000 * MIB), (2066 * MIB, 333 * MIB), (0, SIZE)];
    let mut lab = Lab::new();
    lab.empty_file("backing", SIZE);
    create_over(&BY_HAND, &places, &mut lab);
}

#[test]
fn old_filesystems_and_tables_are_gone_wherever_they_began() {
    let _alone = alone();
    let mut lab = Lab::new();
    lab.empty_file("backing", SIZE);
    let backing = lab.backing();
    // btrfs on the whole disk, with copies of its superblock at 64 MiB and, if it were larger, 256 GiB.
    tool("mkfs.btrfs", &["-q", "-f", &backing]);
    for (start, size) in [(66, 1000), (1066, 1000), (2066, 333)] {
        let device = lab.attach("backing", &[&format!("--offset={start}MiB"), &format!("--sizelimit={size}MiB")]);
        tool("mkfs.btrfs", &["-q", "-f", &device]);
        tool("losetup", &["--detach", &device]);
        lab.forget_last();
    }
    // Tables in partitions; and one of the disk when it ended in the middle, with its backup there.
    for (start, size) in [(66, 1000), (1066, 1000), (2066, 333), (0, 1066)] {
        let table = lab.empty_file("table", size * MIB).to_string_lossy().into_owned();
        tool("sgdisk", &["--new=1:0:0", &table]);
        for at in [0, size * 2048 - 33] {
            let place = [format!("skip={at}"), format!("seek={}", start * 2048 + at)];
            let files = [format!("if={table}"), format!("of={backing}")];
            tool("dd", &["count=33", "conv=notrunc", "status=none", &place[0], &place[1], &files[0], &files[1]]);
        }
    }
    create_over(&[], &[], &mut lab);
}
