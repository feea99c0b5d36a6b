//! The same inputs with the same `SOURCE_DATE_EPOCH` make the same disk, as far as flipslot writes it.

use crate::artifacts::{BOOT, Lab, MIB, SIZE, SLOT, bytes, files_of};
use crate::cli::images;
use crate::support::program::{command, ended, tool};
use serde_json::Value;
use std::fs::{self, File};

/// The manifest of a disk, which is all of it that may differ besides.
fn guid(lab: &Lab, disk: &str) -> String {
    let text = fs::read(lab.path(&format!("{disk}.json"))).unwrap();
    let manifest: Value = serde_json::from_slice(&text).unwrap();
    manifest["table"]["guid"].as_str().unwrap().to_owned()
}

#[test]
fn two_disks_of_a_real_image_have_the_same_table_boot_partition_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let slot = format!("--slot=a=oci:{}:latest", images::debian().display());
    let words = ["--size=1100MiB", "--slots=1", "--hardware=qemu", "--progress=none", "--sidecars", &slot];
    let disk = |name: &str| {
        let mut create = command(folder.path(), &[&["create", name][..], &words].concat());
        ended(create.env("SOURCE_DATE_EPOCH", "1700000000")).must_end(0, &[]);
        folder.path().join(name).to_string_lossy().into_owned()
    };
    let (one, other) = (disk("one.raw"), disk("other.raw"));
    let place = 66..1099;
    for part in [0..1, 1..2, BOOT, 1099..1100] {
        assert!(bytes(&one, &part) == bytes(&other, &part), "MiB {part:?} differ");
    }
    let (files, again) = (files_of(&one, &place), files_of(&other, &place));
    assert!(files.len() > 10_000, "{} files", files.len());
    let differ: Vec<_> = files.iter().zip(&again).filter(|(one, other)| one != other).collect();
    assert!(differ.is_empty() && files.len() == again.len(), "{differ:#?}");
    assert!(files.iter().any(|line| line.ends_with(".img") && line.contains("boot/initramfs-")));
}

#[test]
fn another_time_another_image_or_another_word_makes_another_disk() {
    let lab = Lab::new();
    lab.create_at("1700000000", "a.raw", &["--sidecars"]);
    lab.create_at("1700000000", "b.raw", &["--sidecars"]);
    assert_eq!(guid(&lab, "a.raw"), guid(&lab, "b.raw"));
    lab.create_at("1700000001", "c.raw", &["--sidecars"]);
    lab.create_at("1700000000", "d.raw", &["--sidecars", "--kargs=quiet"]);
    lab.create("e.raw", &["--sidecars"]).must_end(0, &[]);
    let mut guids = ["a.raw", "c.raw", "d.raw", "e.raw"].map(|disk| guid(&lab, disk)).to_vec();
    guids.sort();
    guids.dedup();
    assert_eq!(guids.len(), 4, "{guids:?}");
    let about = tool("dumpe2fs", &["-h", &format!("{}?offset={}", lab.path("a.raw"), SLOT.start * MIB)]);
    assert!(about.contains("Nov 14 22:13:20 2023") || about.contains("Nov 14"), "{about}");
    let status = crate::support::program::flipslot(&lab.out(), &["status", "--disk=a.raw", "--json"]);
    assert!(status.stdout.contains("\"written\": \"2023-11-14T22:13:20Z\""), "{}", status.stdout);
}

#[test]
fn a_time_that_is_none_is_refused_and_a_device_gets_identifiers_of_its_own() {
    let lab = Lab::new();
    let run = ended(lab.command("d.raw", &[]).env("SOURCE_DATE_EPOCH", "yesterday"));
    run.must_end(2, &["SOURCE_DATE_EPOCH is 'yesterday'", "unset SOURCE_DATE_EPOCH"]);

    let backing = lab.path("backing");
    File::create(&backing).unwrap().set_len(SIZE * MIB).unwrap();
    let device = tool("losetup", &["--find", "--show", &backing]).trim().to_owned();
    let create = |more: &[&str]| ended(lab.command(&device, more).env("SOURCE_DATE_EPOCH", "1700000000"));
    let runs = [create(&["--sidecars"]), create(&[])];
    tool("losetup", &["--detach", &device]);
    runs[0].must_end(2, &["no files can be written beside it", "omit --sidecars"]);
    runs[1].must_end(0, &[]);
    let table = tool("sgdisk", &["--print", &backing]);
    let guid = table.lines().find_map(|line| line.strip_prefix("Disk identifier (GUID): ")).unwrap();
    assert_eq!(&guid[14..15], "4", "{guid} is random");
    let year = tool("date", &["+%Y"]);
    let about = tool("dumpe2fs", &["-h", &format!("{backing}?offset={}", SLOT.start * MIB)]);
    assert!(
        about.lines().any(|line| line.starts_with("Filesystem created:") && line.ends_with(year.trim())),
        "{about}"
    );
}
