//! `create --keep-data`: the slots that are named are made anew, and nothing else of the disk is.

use crate::cli::images;
use crate::clone::disks::LoopDisk;
use crate::support::disk::{BOOT, Disk, NAME, SLOT_A, SLOT_B};
use crate::support::program::{Run, assert_nothing_left, ended, flipslot};
use crate::tables::debian;
use std::fs::{self, File};
use std::process::Command;

fn keep_data(disk: &Disk, slot: &str, more: &[&str]) -> Run {
    let create = ["create", NAME, "--keep-data", "--progress=none", "--hardware=qemu", slot];
    flipslot(disk.folder(), &[&create[..], more].concat())
}

#[test]
fn named_slots_are_made_anew_and_data_table_and_the_other_slots_are_kept() {
    let disk = Disk::with(&images::debian());
    disk.flash(&debian(), "b", &[]).must_end(0, &[]);
    let old = format!("--slot=a={}", debian());
    let before = disk.content();
    keep_data(&disk, &old, &[]).must_end(3, &["slot a of d.raw holds Debian GNU/Linux 12 (bookworm)", "--yes"]);
    keep_data(&disk, &old, &["--yes", "--size=2300MiB"]).must_end(2, &["--size"]);
    keep_data(&disk, &format!("--slot=c={}", debian()), &["--yes"]).must_end(3, &["no slot c"]);
    assert!(disk.changed_since(&before).is_empty());

    keep_data(&disk, &old, &["--yes", "--filesystem=xfs"]).must_end(0, &[]);
    assert_nothing_left(disk.folder(), &[NAME]);
    let outside = disk.changed_since(&before).into_iter().filter(|mib| !BOOT.contains(mib) && !SLOT_A.contains(mib));
    assert_eq!(outside.count(), 0);
    let status = disk.status();
    let is = |key: &str| status[key].as_str().unwrap().to_owned();
    assert_eq!([is("proven"), is("wanted"), is("next_boot")], ["b", "a", "a"], "a is tried, and b is fallen back to");
    assert_eq!(status["slots"][0]["filesystem"], "xfs");
    disk.must_be_clean(&SLOT_B);
}

#[test]
fn where_a_slot_cannot_be_made_the_disk_boots_one_that_was_not_named() {
    let disk = Disk::with(&images::debian());
    disk.flash(&debian(), "b", &[]).must_end(0, &[]);
    let bare = disk.folder().join("bare");
    images::no_kernel().write(&bare, "1");
    let broken = format!("--slot=a=oci:{}:1", bare.display());
    keep_data(&disk, &broken, &["--yes"]).must_end(1, &["no kernel", "next: "]);
    let status = disk.status();
    assert_eq!([&status["proven"], &status["next_boot"], &status["slots"][0]["holds"]], ["b", "b", "half"]);
    keep_data(&disk, &format!("--slot=a={}", debian()), &[]).must_end(0, &[]);
    let status = disk.status();
    assert_eq!([&status["proven"], &status["next_boot"], &status["slots"][0]["holds"]], ["b", "b", "image"]);
}

#[test]
fn a_disk_that_flipslot_has_not_made_has_nothing_to_keep() {
    let folder = tempfile::tempdir().unwrap();
    File::create(folder.path().join(NAME)).unwrap().set_len(3 << 30).unwrap();
    let disk = Disk::at(folder.path());
    keep_data(&disk, &format!("--slot=a={}", debian()), &["--yes"]).must_end(3, &["has no flipslot table"]);
}

#[test]
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn of_a_block_device_the_prompt_says_what_goes_and_the_rest_is_kept() {
    let disk = Disk::with(&images::debian());
    let device = LoopDisk::over(&disk.path(), 2300);
    let slot = format!("--slot=b={}", debian());
    let create =
        ["create", &device.device, "--keep-data", "--progress=none", "--hardware=qemu", "--filesystem=btrfs", &slot];
    let before = disk.content();
    let line = format!("{} {}", env!("CARGO_BIN_EXE_flipslot"), create.join(" "));
    fs::write(disk.folder().join("typed"), "yes\n").unwrap();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(disk.folder());
    let run = ended(script.stdin(File::open(disk.folder().join("typed")).unwrap()));
    for text in ["The contents of slot b will be lost. To write to this disk, type its name", "nothing was written"] {
        assert!(run.stdout.contains(text), "'{text}' is missing in: {}", run.stdout);
    }
    assert_eq!((run.code, disk.changed_since(&before)), (3, Vec::new()));
    flipslot(disk.folder(), &[&create[..], &["--yes"]].concat()).must_end(3, &["--expect-serial"]);
    assert_eq!(disk.changed_since(&before), Vec::<u64>::new());

    flipslot(disk.folder(), &[&create[..], &["--yes", &device.meant()]].concat()).must_end(0, &[]);
    drop(device);
    let outside = disk.changed_since(&before).into_iter().filter(|mib| !BOOT.contains(mib) && !SLOT_B.contains(mib));
    assert_eq!(outside.count(), 0);
    let status = disk.status();
    assert_eq!([&status["proven"], &status["slots"][1]["filesystem"]], ["a", "btrfs"]);
    assert_nothing_left(disk.folder(), &[NAME, "typed"]);
}
