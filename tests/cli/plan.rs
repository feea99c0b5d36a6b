//! `create --dry-run` and `create --plan`: what is told is what is done, and only where nothing has changed.

use crate::cli::images;
use crate::support::disk::{Disk, MIB, NAME};
use crate::support::layout::ImageLayout;
use crate::support::program::{Run, assert_nothing_left, flipslot, tool};
use crate::support::tar::{Tar, file};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

fn debian() -> String {
    format!("--slot=a=oci:{}:latest", images::debian().display())
}

/// Makes a plan of these words and writes it to `plan.json`.
fn planned(folder: &Path, words: &[&str]) -> Value {
    let run = flipslot(folder, &[&["create", "--dry-run", "--json", "--progress=none"], words].concat());
    run.must_end(0, &[]);
    fs::write(folder.join("plan.json"), &run.stdout).unwrap();
    serde_json::from_str(&run.stdout).unwrap()
}

fn apply(folder: &Path) -> Run {
    flipslot(folder, &["create", "--plan", "plan.json", "--progress=none"])
}

#[test]
fn a_plan_tells_each_partition_and_is_done_as_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let plan = planned(folder.path(), &[NAME, "--size=2300MiB", "--slot-size=1GiB", "--data", &debian()]);
    assert_nothing_left(folder.path(), &["plan.json"]);
    let fates: Vec<[&Value; 3]> = plan["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| [&part["name"], &part["fate"], &part["filesystem"]])
        .collect();
    let fate = |name, fate, filesystem| [json!(name), json!(fate), filesystem];
    let expected = [
        fate("bios-boot", "written", json!(null)),
        fate("boot", "written", json!("vfat")),
        fate("slot-a", "written", json!("ext4")),
        fate("slot-b", "empty", json!(null)),
        fate("data", "empty", json!(null)),
    ];
    assert_eq!(fates, expected.each_ref().map(|fates| fates.each_ref()));
    assert_eq!([&plan["table_written"], &plan["how"]["fingerprint"]], [&json!(true), &json!(null)]);

    apply(folder.path()).must_end(0, &[]);
    let disk = Disk::at(folder.path());
    assert_eq!(disk.status()["slots"][0]["digest"], plan["images"][0]["digest"]);
    let listed = tool("mdir", &["-/", "-b", "-a", "-i", &disk.boot_for_mtools(), "::"]);
    let mut made: Vec<&str> =
        listed.lines().filter_map(|line| line.strip_prefix("::/")).filter(|path| !path.ends_with('/')).collect();
    let mut planned: Vec<&str> =
        plan["boot_files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    made.sort_unstable();
    planned.sort_unstable();
    assert_eq!(made, planned, "every file of the boot partition");
    apply(folder.path()).must_end(3, &["d.raw is not as it was when the plan was made: it was not there"]);
    let text = flipslot(folder.path(), &["create", "--dry-run", "--progress=none", "x.raw", "--size=1GiB", &debian()]);
    assert!(text.stdout.contains("into slot a of x.raw") && text.stdout.contains("a new table"), "{}", text.stdout);
}

#[test]
fn a_disk_or_an_image_that_is_another_one_by_now_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    ImageLayout::over(&images::debian(), &[]).write(&image, "1");
    let backing = File::create(folder.path().join("backing")).unwrap();
    backing.set_len(2 << 30).unwrap();
    let path = folder.path().join("backing").to_string_lossy().into_owned();
    tool("sgdisk", &["--new=1:1M:100M", &path]);
    let device = tool("losetup", &["--find", "--show", &path]).trim().to_owned();
    let words = [device.as_str(), "--slot=a=oci:image:1", "--slots=1"];
    planned(folder.path(), &words);

    tool("sgdisk", &["--new=2:200M:300M", &path]);
    apply(folder.path()).must_end(3, &["its partition table differs", "make a new plan"]);
    planned(folder.path(), &words);
    let more = Tar::of([file("etc/new", "new")]);
    fs::remove_dir_all(&image).unwrap();
    ImageLayout::over(&images::debian(), &[more]).write(&image, "1");
    let before = tool("sgdisk", &["--print", &path]);
    apply(folder.path()).must_end(3, &["its tag has moved"]);
    assert_eq!(tool("sgdisk", &["--print", &path]), before);

    planned(folder.path(), &words);
    let done = apply(folder.path());
    let table = tool("sgdisk", &["--print", &path]);
    tool("losetup", &["--detach", &device]);
    done.must_end(0, &[]);
    assert!(table.contains("slot-a"), "{table}");
}

#[test]
fn a_plan_of_named_slots_keeps_the_others_and_the_data() {
    let disk = Disk::with(&images::debian());
    let plan = planned(disk.folder(), &[NAME, "--keep-data", &debian()]);
    let fates: Vec<&str> =
        plan["partitions"].as_array().unwrap().iter().map(|part| part["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["kept", "changed", "written", "kept", "kept"]);
    assert_eq!(plan["images"][0]["replaces"], "Debian GNU/Linux 12 (bookworm)");
    apply(disk.folder()).must_end(0, &[]);
    disk.file().write_all_at(&[1], 600).unwrap(); // in the first entry of the table
    disk.file().write_all_at(&[0xda; 4096], 2114 * MIB).unwrap();
    let again = apply(disk.folder());
    assert_ne!(again.code, 0, "{}", again.stdout);
}

#[test]
fn what_is_no_plan_is_refused_and_other_flags_beside_one_are_none() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plan.json"), "{}").unwrap();
    apply(folder.path()).must_end(3, &["holds no plan of this version"]);
    flipslot(folder.path(), &["create", "--plan=no.json"]).must_end(3, &["holds no plan"]);
    flipslot(folder.path(), &["create", "--plan=plan.json", "--size=1GiB"]).must_end(2, &["--size"]);
    flipslot(folder.path(), &["create", "--size=1GiB"]).must_end(2, &["DISK"]);
}
