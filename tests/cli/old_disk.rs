//! A disk that flipslot 0.1 made goes on working: its boot partition has the files of `tests/fixtures/disk-0.1`.

use crate::cli::images;
use crate::support::disk::{BOOT, Disk, MIB};
use serde_json::Value;
use std::os::unix::fs::FileExt;

const RECORD: &str = include_str!("../fixtures/disk-0.1/slot-a.json");
const ENTRY: &str = include_str!("../fixtures/disk-0.1/slot-a.cfg");
const STATE: &[u8] = include_bytes!("../fixtures/disk-0.1/state-1");

/// The record of this disk's slot a as 0.1 would have written it: the keys of the fixture, in their order, with
/// the values of this disk.
fn as_0_1_wrote_it(record: &Value) -> Value {
    let pick = |old: &Value, new: &Value| -> Value {
        let old = old.as_object().unwrap();
        old.keys().map(|key| (key.clone(), new[key].clone())).collect::<serde_json::Map<_, _>>().into()
    };
    let old: Value = serde_json::from_str(RECORD).unwrap();
    let mut aged = pick(&old, record);
    aged["entry"] = pick(&old["entry"], &record["entry"]);
    aged
}

/// Rewrites a file of the boot partition in place, padded with spaces to its size.
fn rewrite(disk: &Disk, path: &str, mut bytes: Vec<u8>) {
    let runs = disk.places(path);
    let size: u64 = runs.iter().map(|run| run.end - run.start).sum();
    bytes.resize(usize::try_from(size).unwrap(), b' ');
    for run in runs {
        let rest = bytes.split_off(usize::try_from(run.end - run.start).unwrap());
        disk.file().write_all_at(&bytes, BOOT.start * MIB + run.start).unwrap();
        bytes = rest;
    }
}

/// A disk with the files of 0.1 on its boot partition.
fn aged() -> Disk {
    let disk = Disk::made(&images::debian_without_initramfs(), &[]);
    let record: Value = serde_json::from_str(&disk.boot_file("flipslot/slot-a.json")).unwrap();
    let text = serde_json::to_vec(&as_0_1_wrote_it(&record)).unwrap();
    rewrite(&disk, "flipslot/slot-a.json", text);
    for copy in disk.state_copies() {
        disk.file().write_all_at(STATE, copy).unwrap();
    }
    disk
}

/// The values in a menu entry that each disk has for itself, replaced by the names of what they are.
fn shape(entry: &str, record: &Value) -> String {
    let words: Vec<&str> = record["entry"]["cmdline"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let version = record["entry"]["kernel"]["version"].as_str().unwrap();
    entry.trim_end().trim_end_matches('#').trim_end().replace(&line, "WORDS").replace(version, "VERSION")
}

#[test]
fn a_disk_of_0_1_is_shown_and_flashed_and_its_entries_have_the_same_form_still() {
    let disk = aged();
    let old: Value = serde_json::from_str(RECORD).unwrap();
    let new: Value = serde_json::from_str(&disk.boot_file("flipslot/slot-a.json")).unwrap();
    assert_eq!(shape(&disk.boot_file("flipslot/slot-a.cfg"), &new), shape(ENTRY, &old));

    let status = disk.status();
    assert_eq!((&status["slots"][0]["holds"], &status["proven"]), (&"image".into(), &"a".into()));
    assert_eq!(status["slots"][0]["initramfs_by"], "dracut");
    assert_eq!(status["damage"], Value::Null);

    let debian = format!("oci:{}:latest", images::debian_without_initramfs().display());
    disk.flash(&debian, "b", &[]).must_end(0, &[]);
    let status = disk.status();
    assert_eq!((&status["slots"][1]["holds"], &status["proven"]), (&"image".into(), &"a".into()));
    // And the other way round: 0.1 finds every key that it knows in the record of the new slot.
    let written: Value = serde_json::from_str(&disk.boot_file("flipslot/slot-b.json")).unwrap();
    let keys = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert!(keys(&old).iter().all(|key| written.get(key).is_some()), "{written:#}");
    assert!(keys(&old["entry"]).iter().all(|key| written["entry"].get(key).is_some()), "{written:#}");
}
