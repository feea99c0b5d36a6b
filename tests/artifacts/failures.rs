//! What goes wrong between a whole disk and its name: nothing stays behind, and what stood there stays.

use crate::artifacts::{Lab, MIB, names};
use crate::support::program::{Guard, assert_nothing_left, ended, tool};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A `qemu-img` of the test's own, found before the system's.
fn with_qemu_img(lab: &Lab, script: &str) -> String {
    let bin = lab.out().with_file_name("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("qemu-img"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(bin.join("qemu-img"), PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[test]
fn without_qemu_img_nothing_is_begun() {
    let lab = Lab::new();
    let bin = lab.out().with_file_name("few");
    fs::create_dir(&bin).unwrap();
    for program in ["mke2fs", "e2fsck", "unshare"] {
        let path = tool("which", &[program]);
        symlink(path.trim(), bin.join(program)).unwrap();
    }
    for name in ["d.qcow2", "d.vmdk", "d.vhdx"] {
        let run = ended(lab.command(name, &[]).env("PATH", &bin));
        run.must_end(3, &["qemu-img is not installed", "apt-get install qemu-utils"]);
    }
    assert!(names(&lab.out()).is_empty());
}

#[test]
fn a_conversion_that_fails_is_shown_and_keeps_the_old_files() {
    let lab = Lab::new();
    let path = with_qemu_img(&lab, "echo 'no luck today' >&2; exit 5");
    let old = ["SHA256SUMS", "d.qcow2", "d.qcow2.json"];
    old.iter().for_each(|name| fs::write(lab.path(name), "the old one").unwrap());
    let run = ended(lab.command("d.qcow2", &["--sidecars", "--yes"]).env("PATH", path));
    run.must_end(1, &["making d.qcow2", "`qemu-img convert -f raw -O qcow2", "exit code 5", "no luck today", "df ."]);
    assert_nothing_left(&lab.out(), &old);
    old.iter().for_each(|name| assert_eq!(fs::read(lab.path(name)).unwrap(), b"the old one"));
}

#[test]
fn a_disk_that_is_not_what_was_converted_is_not_published() {
    let lab = Lab::new();
    let spoil = "/usr/bin/qemu-img \"$@\" || exit 1
        [ \"$1\" = convert ] || exit 0
        for last; do :; done
        qemu-io -f qcow2 -c 'write -P 7 100M 4k' \"$last\" >&2";
    let path = with_qemu_img(&lab, spoil);
    let run = ended(lab.command("d.qcow2", &[]).env("PATH", path));
    run.must_end(1, &["reading back the converted disk", "Content mismatch"]);
    assert_nothing_left(&lab.out(), &[]);
}

#[test]
fn a_kill_while_the_disk_is_converted_leaves_nothing() {
    let lab = Lab::new();
    let began = lab.out().with_file_name("began");
    let path = with_qemu_img(&lab, &format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", began.display()));
    let mut create = lab.command("d.qcow2", &["--sidecars"]);
    let mut child = Guard(create.env("PATH", path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let begin = Instant::now();
    while !began.exists() {
        assert!(child.0.try_wait().unwrap().is_none(), "it ended before it converted");
        assert!(begin.elapsed() < Duration::from_secs(600), "it never converted");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    assert_nothing_left(&lab.out(), &[]);
    let process = fs::read_to_string(&began).unwrap();
    while Path::new("/proc").join(process.trim()).exists() {
        assert!(begin.elapsed() < Duration::from_secs(900), "qemu-img goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A filesystem in memory of so many MiB, over the folder of disks.
struct Small<'l>(&'l Lab);

impl Small<'_> {
    fn new(lab: &Lab, mebibytes: u64) -> Small<'_> {
        let size = format!("size={mebibytes}m");
        tool("mount", &["-t", "tmpfs", "-o", &size, "small", &lab.out().to_string_lossy()]);
        Small(lab)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        tool("umount", &[&self.0.out().to_string_lossy()]);
    }
}

#[test]
fn a_filesystem_with_room_for_one_of_both_is_left_as_it_was() {
    let lab = Lab::with(48 << 20);
    // As much as the raw disk takes there, and half of the rest.
    let taken = {
        let _small = Small::new(&lab, 400);
        lab.create("d.raw", &[]).must_end(0, &[]);
        let blocks = tool("stat", &["-c", "%b", &lab.path("d.raw")]);
        blocks.trim().parse::<u64>().unwrap() * 512 / MIB
    };
    for (name, texts) in [
        ("d.qcow2", &["not enough space for d.qcow2", "free some space"][..]),
        ("d.raw.zst", &["compressing d.raw.zst", "No space left on device"]),
    ] {
        let _small = Small::new(&lab, taken + 24);
        fs::write(lab.path("SHA256SUMS"), "").unwrap();
        fs::write(lab.path(name), "the old one").unwrap();
        lab.create(name, &["--sidecars", "--yes"]).must_end(1, texts);
        assert_eq!(names(&lab.out()), ["SHA256SUMS", name]);
        assert_eq!(fs::read(lab.path(name)).unwrap(), b"the old one");
    }
    let _small = Small::new(&lab, 64);
    lab.create("d.raw.zst", &[]).must_end(3, &["not enough space for d.raw.zst", "images need"]);
    assert!(names(&lab.out()).is_empty());
}

/// A filesystem that has no nameless files, over the folder of disks: FUSE.
struct Named<'l>(&'l Lab);

impl Named<'_> {
    fn new(lab: &Lab) -> Named<'_> {
        let image = lab.out().with_file_name("fuse.ext4");
        File::create(&image).unwrap().set_len(800 << 20).unwrap();
        let image = image.to_string_lossy();
        tool("mke2fs", &["-q", "-t", "ext4", "-E", "root_owner=0:0", &image]);
        tool("fuse2fs", &["-o", "rw,fakeroot,allow_other", &image, &lab.out().to_string_lossy()]);
        Named(lab)
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        tool("umount", &[&self.0.out().to_string_lossy()]);
    }
}

#[test]
fn where_files_have_names_from_the_beginning_they_are_hidden_until_they_are_whole() {
    let lab = Lab::new();
    let _named = Named::new(&lab);
    let path = with_qemu_img(&lab, "ls -A >&2; exit 5");
    let run = ended(lab.command("d.qcow2", &["--sidecars"]).env("PATH", path));
    run.must_end(1, &[".d.qcow2.flipslot-partial", ".d.qcow2.flipslot-converted"]);
    assert_eq!(names(&lab.out()), ["lost+found"]);
    lab.create("d.qcow2", &["--sidecars"]).must_end(0, &[]);
    lab.create("d.qcow2", &["--sidecars"]).must_end(3, &["d.qcow2.json exists"]);
    lab.create("d.qcow2", &["--sidecars", "--yes", "--kargs=quiet"]).must_end(0, &[]);
    tool("sh", &["-ec", "cd \"$1\" && sha256sum --check --strict SHA256SUMS", "sh", &lab.out().to_string_lossy()]);
    assert_eq!(names(&lab.out()), ["SHA256SUMS", "d.qcow2", "d.qcow2.json", "lost+found"]);
}
