//! Partitions that others have made on a flipslot disk keep their numbers and every byte.

use crate::support::disk::{BOOT, MIB, NAME};
use crate::support::program::{flipslot, tool};
use crate::tables::{debian, made, remove};
use std::os::unix::fs::FileExt;

#[test]
fn partitions_14_and_15_of_others_keep_their_numbers_and_their_bytes_through_flash_and_keep_data() {
    let disk = made(&["--size=1700MiB", "--slot-size=700MiB"]);
    let path = disk.path().to_string_lossy().into_owned();
    tool("sgdisk", &["--new=14:1500M:1559M", "--change-name=14:slot-x", "--new=15:1560M:1600M", &path]);
    for (mib, byte) in [(1500, 0x14), (1559, 0x14), (1560, 0x15), (1600, 0x15)] {
        disk.file().write_all_at(&[byte; 65536], mib * MIB).unwrap();
    }
    let table = tool("sgdisk", &["--print", &path]);
    assert!(["  14  ", "  15  "].iter().all(|number| table.contains(number)), "{table}");
    let (before, slot_a, slot_b) = (disk.content(), 66..766, 766..1466);
    disk.flash(&debian(), "b", &[]).must_end(0, &[]);
    let outside = |ours: &std::ops::Range<u64>| {
        let changed = disk.changed_since(&before).into_iter();
        changed.filter(|mib| !BOOT.contains(mib) && !ours.contains(mib)).collect::<Vec<u64>>()
    };
    assert_eq!(outside(&slot_b), Vec::<u64>::new());
    let again = [
        "create",
        NAME,
        "--keep-data",
        "--yes",
        "--progress=none",
        "--hardware=qemu",
        "--slot",
        &format!("a={}", debian()),
    ];
    flipslot(disk.folder(), &again).must_end(0, &[]);
    assert_eq!(outside(&(slot_a.start..slot_b.end)), Vec::<u64>::new());
    assert_eq!(tool("sgdisk", &["--print", &path]), table);
    assert!(tool("sgdisk", &["--verify", &path]).contains("No problems found"));
    remove(&disk);
}

#[test]
fn a_damaged_table_with_a_good_backup_is_refused_with_the_command_that_repairs_it() {
    let disk = made(&["--size=1GiB", "--slots=1"]);
    disk.file().write_all_at(&[0; 512], 512).unwrap();
    let before = disk.content();
    let says = ["at the beginning of the disk is damaged; only its backup is intact", "sgdisk --move-second-header"];
    disk.flash(&debian(), "a", &[]).must_end(3, &says);
    let again = ["create", NAME, "--keep-data", "--yes", "--progress=none", "--slot", &format!("a={}", debian())];
    flipslot(disk.folder(), &again).must_end(3, &says);
    assert!(disk.changed_since(&before).is_empty());
    let path = disk.path().to_string_lossy().into_owned();
    tool("sgdisk", &["--move-second-header", &path]);
    assert_eq!(disk.status()["slots"][0]["holds"], "image", "as it was told");

    // No MBR, no boot code.
    disk.file().write_all_at(&vec![0; 1 << 20], 0).unwrap();
    let before = disk.content();
    disk.flash(&debian(), "a", &[])
        .must_end(3, &["the beginning of the disk is gone", "gdisk DISK, commands r, b, c, w"]);
    assert!(disk.changed_since(&before).is_empty());
    // A blank table is what gdisk begins with, then come those commands and their questions.
    tool("sh", &["-c", "printf '2\\nr\\nb\\nc\\ny\\nw\\ny\\n' | gdisk \"$0\"", &path]);
    assert_eq!(disk.status()["slots"][0]["holds"], "image", "as it was told");
    remove(&disk);
}
