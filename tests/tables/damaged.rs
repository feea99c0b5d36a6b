//! MBR tables that cannot be right are refused by every verb, and not changed.

use crate::support::disk::{Disk, NAME};
use crate::support::program::flipslot;
use crate::tables::{made, remove};
use std::os::unix::fs::FileExt;

/// An entry's place in the first sector, and its first sector and length, each 32 bits.
const fn entry(number: u64) -> u64 {
    0x1be + 16 * (number - 1)
}

fn must_be_refused(disk: &Disk, (at, bytes): (u64, &[u8]), says: &str) {
    let file = disk.file();
    let mut old = vec![0; bytes.len()];
    file.read_exact_at(&mut old, at).unwrap();
    file.write_all_at(bytes, at).unwrap();
    let before = disk.content();
    for verb in [&["status", "--disk", NAME][..], &["flash", "oci:nowhere", "--slot=b", "--disk", NAME]] {
        flipslot(disk.folder(), verb).must_end(3, &[says]);
    }
    assert!(disk.changed_since(&before).is_empty());
    file.write_all_at(&old, at).unwrap();
}

#[test]
fn what_leaves_the_disk_overlaps_or_has_no_end_is_refused() {
    let disk = made(&["--table=mbr", "--size=1GiB", "--slots=4", "--slot-size=64MiB", "--slot-size=a=700MiB"]);
    disk.status();
    let long = u32::MAX.to_le_bytes();
    must_be_refused(&disk, (entry(3) + 12, &long), "partition 3 is not within the disk");
    must_be_refused(&disk, (entry(4) + 12, &long), "partition 4 is not within the disk");
    let sectors = |mib: u32| (mib * 2048).to_le_bytes();
    must_be_refused(&disk, (entry(2) + 12, &sectors(701)), "partitions 2 and 3 overlap");
    // The first sector of the extended partition, 1 MiB before partition 5: its second entry leads to itself.
    let chain = (65 + 700 + 64) << 20;
    must_be_refused(&disk, (chain + entry(2) + 8, &sectors(0)), "has no end");
    must_be_refused(&disk, (chain + entry(1) + 12, &long), "partition 5 is not within the disk");
    must_be_refused(&disk, (0x1fe, &[0, 0]), "has no flipslot table");
    disk.status();
    remove(&disk);
}
