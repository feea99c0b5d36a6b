//! `clone --dry-run`: what would become of each disk, and no byte of any changes.

use crate::clone::disks::{LoopDisk, clone, golden, result};
use crate::support::disk::{DATA, MIB, content_hash};
use crate::support::program::assert_nothing_left;
use serde_json::json;

#[test]
fn a_dry_run_tells_each_disk_and_changes_none() {
    let folder = tempfile::tempdir().unwrap();
    let used = LoopDisk::over(&folder.path().join("used"), 3 * 1024);
    used.write(b"mine", 512);
    let content = || content_hash(&used.file);
    let before = content();
    let targets = [used.device.as_str(), "same.raw"];
    let run = clone(folder.path(), &golden(), &targets, &["--dry-run", "--json"]);
    run.must_end(0, &[]);
    let said = result(&run);
    assert_eq!((&said["verb"], &said["source_size"]), (&json!("clone"), &json!(2300 * MIB)));
    let allocated = said["bytes_to_copy"].as_u64().unwrap();
    assert!((100 * MIB..1200 * MIB).contains(&allocated), "{allocated}");
    for (disk, end) in [(&said["disks"][0], 3071), (&said["disks"][1], DATA.end)] {
        let parts = disk["partitions"].as_array().unwrap();
        let names: Vec<_> = parts.iter().map(|part| (&part["name"], &part["fate"], &part["filesystem"])).collect();
        let [bios, vfat, ext4] = [json!(null), json!("vfat"), json!("ext4")];
        let slots =
            [("bios-boot", bios.clone()), ("boot", vfat), ("slot-a", ext4.clone()), ("slot-b", bios), ("data", ext4)];
        let due = slots.map(|(name, filesystem)| (json!(name), json!("written"), filesystem));
        assert_eq!(names, due.each_ref().map(|(name, fate, filesystem)| (name, fate, filesystem)));
        assert_eq!(parts[4]["size"], (end - DATA.start) * MIB, "data takes the room");
    }
    let text = clone(folder.path(), &golden(), &targets, &["--dry-run"]);
    text.must_end(0, &[]);
    assert!(text.stdout.contains("would copy ") && text.stdout.contains("on same.raw now: nothing"), "{}", text.stdout);

    let serial = clone(folder.path(), &golden(), &targets, &["--dry-run", "--expect-serial=other"]);
    serial.must_end(3, &["is not the expected disk"]);
    assert_eq!(content(), before);
    drop(used);
    assert_nothing_left(folder.path(), &["used"]);
}
