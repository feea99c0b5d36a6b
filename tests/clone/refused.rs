//! What `clone` refuses, before it writes a byte to any disk.

use crate::cli::images;
use crate::clone::disks::{LoopDisk, clone, golden};
use crate::support::disk::{Disk, MIB, SLOT_A, content_hash};
use crate::support::program::{assert_nothing_left, tool, unmount};
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn a_target_that_cannot_be_one_is_refused_and_no_disk_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (good, used) = (LoopDisk::over(&path.join("good"), 2300), LoopDisk::over(&path.join("used"), 2300));
    let small = LoopDisk::over(&path.join("small"), 2298);
    used.write(b"mine", 512);
    fs::write(path.join("file"), "mine").unwrap();
    std::os::unix::fs::symlink(&good.device, path.join("link")).unwrap();
    let source = golden();
    let itself = source.to_string_lossy().into_owned();
    let before = content(path);
    for (targets, sentence) in [
        (&[&good.device, &used.device][..], "is not empty"),
        (&[&good.device, &small.device], "need 2.2GiB"),
        (&[&good.device, &good.device], "is named twice"),
        (&[&"new.raw".to_owned(), &"./new.raw".to_owned()], "is named twice"),
        (&[&good.device, &"link".to_owned()], "are the same disk"),
        (&[&good.device, &itself], "is the golden disk itself"),
        (&[&good.device, &"file".to_owned()], "file exists"),
        (&[&good.device, &"/dev/null".to_owned()], "is not a disk"),
        (&[&good.device, &"no/such.raw".to_owned()], "cannot make a file"),
    ] {
        let targets: Vec<&str> = targets.iter().map(|target| target.as_str()).collect();
        let run = clone(path, &source, &targets, &[]);
        run.must_end(3, &[sentence, "next: "]);
        assert!(run.stdout.is_empty(), "{}", run.stdout);
        assert_eq!(content(path), before, "{sentence}");
    }
    let place = tempfile::tempdir().unwrap();
    tool("mke2fs", &["-q", "-F", &used.device]);
    tool("mount", &[&used.device, &place.path().to_string_lossy()]);
    let run = clone(path, &source, &[&good.device, &used.device], &["--yes"]);
    unmount(place.path());
    run.must_end(3, &["mounted at"]);
    clone(path, &source, &["new.raw"], &["--size=1GiB"]).must_end(3, &["new.raw is too small: it has 1GiB"]);
    drop((good, used, small));
    assert_nothing_left(path, &["file", "good", "link", "small", "used"]);
}

/// What is in the files of a folder, as far as they are disks.
fn content(folder: &Path) -> Vec<blake3::Hash> {
    ["good", "used", "small", "file"].map(|name| content_hash(&folder.join(name))).into()
}

#[test]
fn a_source_that_is_no_golden_disk_or_that_somebody_may_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let refused = |source: &Path, sentence: &str| {
        let run = clone(path, source, &["copy.raw"], &[]);
        run.must_end(3, &[sentence, "next: "]);
        assert_nothing_left(path, &["disk.raw", "other"]);
    };
    fs::write(path.join("other"), vec![0; usize::try_from(MIB).unwrap()]).unwrap();
    let disk = path.join("disk.raw");
    tool("cp", &["--sparse=always", "--reflink=auto", &golden().to_string_lossy(), &disk.to_string_lossy()]);
    refused(Path::new("nothing"), "No such file");
    refused(Path::new("other"), "has no flipslot table");
    refused(Path::new("/dev/null"), "is not a disk");
    refused(path, "is not a disk");

    let writer = File::options().append(true).open(&disk).unwrap();
    refused(&disk, "is open in a program that may write to it");
    drop(writer);
    let locked = File::open(&disk).unwrap();
    locked.lock().unwrap();
    refused(&disk, "is locked by process");
    drop(locked);
    let attached = LoopDisk::over(&disk, 2300);
    let run = clone(path, &disk, &["copy.raw"], &[]);
    run.must_end(3, &["is a loop device over it"]);
    let place = tempfile::tempdir().unwrap();
    let part = tool("losetup", &["--find", "--show", "--offset=66MiB", "--sizelimit=1GiB", &attached.device]);
    tool("mount", &["-o", "ro,noload", part.trim(), &place.path().to_string_lossy()]);
    drop((part, place));
    let run = clone(path, Path::new(&attached.device), &["copy.raw"], &[]);
    let used = tool("losetup", &["--list", "--noheadings", "--output=NAME", "--associated", &attached.device]);
    let used = used.trim();
    tool("umount", &[used]);
    tool("losetup", &["--detach", used]);
    drop(attached);
    run.must_end(3, &["a loop device over"]);

    // What the table does not show boots all the same, and names the golden disk.
    tool("sgdisk", &["--change-name=3:rescue", &disk.to_string_lossy()]);
    refused(&disk, "has an entry for slot a, but its table has no such slot");
    tool("sgdisk", &["--change-name=3:slot-a", "--change-name=5:slot-c", "--typecode=5:8304", &disk.to_string_lossy()]);
    refused(&disk, "slot c of the golden disk has missing or damaged files on the boot partition");
    tool("sgdisk", &["--change-name=5:data", "--typecode=5:8300", &disk.to_string_lossy()]);

    // Made for another partition than its own: every copy would boot the golden disk's.
    tool("sgdisk", &["--partition-guid=3:R", &disk.to_string_lossy()]);
    refused(&disk, "does not boot its own partition");
}

#[test]
fn an_xfs_whose_machine_was_not_shut_down_is_refused_and_no_disk_is_written() {
    let disk = Disk::made(&images::debian(), &["--filesystem=xfs"]);
    let attached = disk.attach(&SLOT_A);
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().to_string_lossy();
    tool("mount", &["-t", "xfs", &attached.device, &folder]);
    for number in 0..400 {
        fs::write(place.path().join(format!("new-{number}")), "not in its place yet").unwrap();
    }
    tool("xfs_io", &["-x", "-c", "shutdown -f", &folder]);
    tool("umount", &[&folder]);
    drop(attached);
    // A program that another test started just now may still have the mount in its own namespace.
    let begin = Instant::now();
    while !tool("losetup", &["-j", &disk.path().to_string_lossy()]).is_empty()
        && begin.elapsed() < Duration::from_secs(60)
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    let run = clone(disk.folder(), &disk.path(), &["copy.raw"], &[]);
    run.must_end(3, &["has a log that must be replayed", "mount it once"]);
    assert_nothing_left(disk.folder(), &["d.raw"]);
}
