//! Disks that fail on the way: they do not boot, and the others are whole.

use crate::clone::disks::{LoopDisk, clone, golden, is_zero, must_be_sound, result};
use crate::support::disk::{DATA, MIB};
use crate::support::program::{Guard, assert_nothing_left, command, tool, unmount};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A filesystem in memory that is full after so many MiB.
struct Small(TempDir);

impl Small {
    fn of(mebibytes: u64) -> Small {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        tool("mount", &["-t", "tmpfs", "-o", &size, "small", &folder.path().to_string_lossy()]);
        Small(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        unmount(self.path());
    }
}

#[test]
fn one_of_four_that_fails_at_half_leaves_the_other_three_verified() {
    let folder = tempfile::tempdir().unwrap();
    let small = Small::of(330); // the golden disk has some 660 MiB that hold something
    let bad = LoopDisk::over(&small.path().join("bad"), 2300);
    let good = LoopDisk::over(&folder.path().join("good"), 2300);
    let run = clone(folder.path(), &golden(), &["one.raw", &bad.device, &good.device, "two.raw"], &["--yes", "--json"]);
    run.must_end(1, &["1 of 4 disks failed and do not boot", &bad.device, "next: "]);
    let said = result(&run);
    let outcomes: Vec<_> =
        said["disks"].as_array().unwrap().iter().map(|disk| disk["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["cloned", "failed", "cloned", "cloned"]);
    let failed = &said["disks"][1];
    // What the loop device says of a full filesystem depends on the kernel.
    let error = failed["error"].as_str().unwrap();
    assert!(["No space left on device", "Input/output error"].iter().any(|why| error.contains(why)), "{failed}");
    assert!(failed["hash"].is_null() && failed["disk_guid"].is_null(), "{failed}");
    let written = failed["bytes_written"].as_u64().unwrap();
    assert!(written > 250 * MIB && written < 340 * MIB, "it took a half: {failed}");
    assert!(is_zero(&bad.bytes(0)) && is_zero(&bad.bytes(2299)), "it has no table");
    for disk in ["one.raw", "good", "two.raw"] {
        must_be_sound(&folder.path().join(disk));
    }
    drop((good, bad));
    assert_nothing_left(folder.path(), &["good", "one.raw", "two.raw"]);
}

#[test]
fn a_disk_that_gives_back_something_else_than_was_written_is_no_copy() {
    let folder = tempfile::tempdir().unwrap();
    let disk = LoopDisk::over(&folder.path().join("disk"), 2300);
    let source = golden();
    let arguments = ["clone", &source.to_string_lossy(), &disk.device, "--progress=json"];
    // Behind its back, where it comes to last.
    let rest = disturbed(command(folder.path(), &arguments), || {
        File::options().write(true).open(&disk.file).unwrap().write_all_at(b"rot", DATA.start * MIB + 1100).unwrap();
    });
    assert!(rest.contains(&format!("returns different data at byte {}", DATA.start * MIB)), "{rest}");
    assert!(is_zero(&disk.bytes(0)) && is_zero(&disk.bytes(2299)));
}

#[test]
fn a_source_that_changes_while_it_is_copied_gives_no_copy() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    tool("cp", &["--sparse=always", "--reflink=auto", &golden().to_string_lossy(), &source.to_string_lossy()]);
    let arguments = ["clone", "source", "copy.raw", "--progress=json"];
    let rest = disturbed(command(folder.path(), &arguments), || {
        File::options().write(true).open(&source).unwrap().write_all_at(b"new", 1500 * MIB).unwrap();
    });
    assert!(rest.contains("source was changed while it was copied"), "{rest}");
    assert_nothing_left(folder.path(), &["source"]);
}

/// Runs `clone`, disturbs it as it begins to read back, and returns what it says then: it must fail.
fn disturbed(mut clone: Command, disturb: impl FnOnce()) -> String {
    let mut run = Guard(clone.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let mut said = BufReader::new(run.0.stderr.take().unwrap());
    let mut line = String::new();
    while !(line.contains("begin") && line.contains("reading back")) {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it reads back");
    }
    disturb();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(run.0.wait().unwrap().code(), Some(1), "{rest}");
    rest
}
