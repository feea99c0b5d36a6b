//! Runs that are killed: at no moment has the disk a first MiB that boots before it is whole.

use crate::clone::disks::{LoopDisk, bytes, golden, is_zero, must_be_sound};
use crate::support::disk::MIB;
use crate::support::program::{Guard, assert_nothing_left, command};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

#[test]
fn a_copy_that_was_killed_does_not_boot() {
    let folder = tempfile::tempdir().unwrap();
    let disk = LoopDisk::over(&folder.path().join("disk"), 2300);
    let source = golden();
    let table = bytes(&source, 0);
    for (step, after) in [
        ("copying", 0),
        ("copying", 300),
        ("copying", 900),
        ("reading back", 0),
        ("reading back", 400),
        ("giving it an identity of its own", 0),
        ("giving it an identity of its own", 100),
        ("giving it an identity of its own", 300),
    ] {
        // It boots something before.
        let device = File::options().write(true).open(&disk.device).unwrap();
        device.write_all_at(&table, 0).unwrap();
        device.sync_all().unwrap();
        drop(device);
        let arguments = ["clone", &source.to_string_lossy(), &disk.device, "--yes", &disk.meant(), "--progress=json"];
        let mut run = Guard(command(folder.path(), &arguments).stderr(Stdio::piped()).spawn().unwrap());
        let mut said = BufReader::new(run.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        let begins = |line: &String| line.contains("begin") && line.contains(step);
        assert!(said.any(|line| begins(&line)), "it comes to '{step}'");
        thread::sleep(Duration::from_millis(after));
        let _ = run.0.kill();
        run.0.wait().unwrap();
        assert_nothing_left_but(&disk);
        let first = disk.bytes(0);
        // On a quick machine the last one may have come to its end.
        if is_zero(&first) {
            continue;
        }
        assert!(after > 0, "'{step}' had just begun");
        must_be_sound(&disk.file);
    }
    drop(disk);
    assert_nothing_left(folder.path(), &["disk"]);
}

/// Waits until the kernel has taken back what the killed run had: the disk can be had again.
fn assert_nothing_left_but(disk: &LoopDisk) {
    let free = || {
        let flags = i32::try_from(rustix::fs::OFlags::EXCL.bits()).unwrap();
        let mut options = File::options();
        std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true).write(true), flags)
            .open(&disk.device)
            .is_ok()
    };
    for _ in 0..600 {
        if free() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{} is still held", disk.device);
}

#[test]
fn a_file_that_was_killed_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let source = golden();
    let arguments = ["clone", &source.to_string_lossy(), "copy.raw", "--progress=json"];
    let mut run = Guard(command(folder.path(), &arguments).stderr(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(run.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("reading back")));
    let _ = run.0.kill();
    run.0.wait().unwrap();
    assert_nothing_left(folder.path(), &[]);
    assert_eq!(File::open(&source).unwrap().metadata().unwrap().len(), 2300 * MIB);
}
