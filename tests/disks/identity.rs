//! Which disk it is: the same at each look, and another as soon as anything about it is.

use crate::disks::lab::{Lab, SIZE, alone};
use crate::support::program::tool;
use flipslot::disk::which::identity::Identity;
use flipslot::disk::which::whole::identity_of;
use std::fs::File;

#[test]
fn what_is_known_of_a_disk_stays_the_same_until_its_table_its_contents_or_its_holders_change() {
    let _alone = alone();
    let mut lab = Lab::new();
    let disk = lab.disk();
    let look = || identity_of(&File::open(&disk).unwrap(), &disk).unwrap();
    let empty = look();
    assert_eq!((empty.size, empty.sector_size, empty.serial()), (SIZE, 512, lab.backing().as_str()));
    assert!(empty.contents.empty && empty.holders.is_empty() && empty.contents.partitions.is_empty());
    assert_eq!(look(), empty);
    let kept = serde_json::to_string(&empty).unwrap();
    assert_eq!(serde_json::from_str::<Identity>(&kept).unwrap(), look());

    tool("sgdisk", &["--new=1:2048:+64M", "--change-name=1:payroll", &disk]);
    let with_table = look();
    assert_ne!(with_table.contents.table_digest, empty.contents.table_digest);
    assert_eq!(with_table.contents.table.as_deref(), Some("gpt"));
    assert_eq!(with_table.contents.partitions[0].name, "payroll");

    let part = lab.attach("backing", &["--offset=1MiB", "--sizelimit=64MiB"]);
    tool("mke2fs", &["-q", "-F", "-t", "ext4", "-L", "accounts", &part]);
    let with_filesystem = look();
    assert_eq!(with_filesystem.contents.table_digest, with_table.contents.table_digest);
    assert_ne!(with_filesystem, with_table, "its contents are told too");

    let above = lab.attach(&disk, &[]);
    assert_eq!(look().holders, [above.strip_prefix("/dev/").unwrap()]);
    assert_ne!(look(), with_filesystem);
}
