//! What is refused before a byte is written: exit code 3, the reason, the way on, and the disk is
//! what it was.

use crate::cli::images;
use crate::support::disk::content_hash;
use crate::support::layout::blob_path;
use crate::support::program::{Run, assert_nothing_left, command, ended, flipslot, tool, unmount};
use std::fs::{self, File};
use std::path::Path;

fn create(folder: &Path, disk: &str, more: &[&str]) -> Run {
    let mut arguments = vec!["create", disk, "--progress=none"];
    if !more.iter().any(|argument| argument.starts_with("--size")) {
        arguments.push("--size=600MiB");
    }
    arguments.extend(more);
    flipslot(folder, &arguments)
}

#[test]
fn an_existing_file_is_kept_without_yes() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    fs::write(folder.path().join("disk.raw"), "precious").unwrap();
    create(folder.path(), "disk.raw", &["--slot=a=oci:image:1"]).must_end(3, &["disk.raw exists", "--yes"]);
    assert_eq!(fs::read(folder.path().join("disk.raw")).unwrap(), b"precious");
}

#[test]
fn what_is_no_disk_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    fs::create_dir(folder.path().join("directory")).unwrap();
    tool("mkfifo", &[&folder.path().join("fifo").to_string_lossy()]);
    for (disk, text) in [("directory", "is a directory"), ("fifo", "is not a disk"), ("/dev/null", "is not a disk")] {
        create(folder.path(), disk, &["--slot=a=oci:image:1", "--yes"]).must_end(3, &[text, "next: "]);
    }
    assert_nothing_left(folder.path(), &["directory", "fifo", "image"]);
}

#[test]
fn a_disk_too_small_and_an_image_too_large_are_refused_with_their_sizes() {
    let folder = tempfile::tempdir().unwrap();
    images::bulky(80 << 20).write(&folder.path().join("image"), "1");
    create(folder.path(), "d.raw", &["--slot=a=oci:image:1", "--size=100MiB"])
        .must_end(3, &["100MiB is too small", "195MiB"]);
    let small = ["--slot=a=oci:image:1", "--slot-size=64MiB"];
    create(folder.path(), "d.raw", &small).must_end(3, &["has layers of 80.0MiB", "slot a has 64MiB", "--slot-size"]);
    assert_nothing_left(folder.path(), &["image"]);
}

#[test]
fn what_would_fail_late_is_refused_early() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    let slot = "--slot=a=oci:image:1";
    create(folder.path(), "no/such/d.raw", &[slot]).must_end(3, &["cannot make a file in no/such"]);
    std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
    create(folder.path(), "link", &[slot]).must_end(3, &["is a link to nothing"]);
    create(folder.path(), "d.raw", &[slot, "--kargs=a='b c'"]).must_end(2, &["--kargs"]);
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let mut poor = command(folder.path(), &["create", "d.raw", "--size=600MiB", slot]);
    ended(poor.env("PATH", &bin)).must_end(3, &["mke2fs is not installed", "apt-get install e2fsprogs"]);
    assert_nothing_left(folder.path(), &["bin", "image", "link"]);
}

#[test]
fn a_reference_that_leads_nowhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    create(folder.path(), "d.raw", &["--slot=a=oci:image:2"]).must_end(3, &["exactly one image ':2'", "it holds: 1"]);
    create(folder.path(), "d.raw", &["--slot=a=oci:nowhere:2"]).must_end(3, &["nowhere is not an OCI image layout"]);
    create(folder.path(), "d.raw", &["--slot=a=docker-archive:nowhere.tar"]).must_end(3, &["nowhere.tar"]);
    let other = format!("--slot=a=oci:image@sha256:{}", "0".repeat(64));
    create(folder.path(), "d.raw", &[&other]).must_end(3, &["does not hold"]);
    assert_nothing_left(folder.path(), &["image"]);
}

#[test]
fn b11_an_image_for_another_platform_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut image = images::no_kernel();
    image.config["architecture"] = "arm64".into();
    image.write(&folder.path().join("image"), "1");
    create(folder.path(), "d.raw", &["--slot=a=oci:image:1"])
        .must_end(3, &["is for linux/arm64, not for linux/amd64", "--arch"]);
    assert_nothing_left(folder.path(), &["image"]);
}

#[test]
fn b15_links_in_a_layout_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let image = images::no_kernel();
    let layer = image.layer(0);
    image.write(&folder.path().join("image"), "1");
    let blob = blob_path(&folder.path().join("image"), &layer);
    fs::rename(&blob, folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &blob).unwrap();
    create(folder.path(), "d.raw", &["--slot=a=oci:image:1"]).must_end(1, &["symbolic link, which is not followed"]);
    assert_nothing_left(folder.path(), &["elsewhere", "image"]);
}

#[test]
fn without_root_nothing_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    // The program may lie where nobody may look.
    let program = folder.path().join("flipslot");
    fs::copy(env!("CARGO_BIN_EXE_flipslot"), &program).unwrap();
    let run = tool_as_nobody(folder.path(), &program.to_string_lossy());
    run.must_end(3, &["run as root"]);
}

#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn tool_as_nobody(folder: &Path, program: &str) -> Run {
    let mut command = std::process::Command::new("setpriv");
    command.current_dir(folder).args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", program]);
    ended(command.args(["create", "d.raw", "--size=600MiB", "--slot=a=oci:image:1"]))
}

/// A loop device over a file of this folder, as the block device to refuse.
struct Device(String);

impl Device {
    fn over(file: &Path) -> Device {
        Device(tool("losetup", &["--find", "--show", &file.to_string_lossy()]).trim().to_owned())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        tool("losetup", &["--detach", &self.0]);
    }
}

#[test]
fn a_block_device_in_use_or_not_empty_is_refused_and_keeps_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    let file = folder.path().join("backing");
    File::create(&file).unwrap().set_len(600 << 20).unwrap();
    tool("mke2fs", &["-q", "-F", "-t", "ext4", &file.to_string_lossy()]);
    let device = Device::over(&file);

    let before = content_hash(&file);
    let arguments = ["create", &device.0, "--slot=a=oci:image:1"];
    flipslot(folder.path(), &arguments).must_end(3, &["is not empty", "wipefs"]);
    assert_eq!(content_hash(&file), before);

    let mounted = folder.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    tool("mount", &["-o", "ro,noload", &device.0, &mounted.to_string_lossy()]);
    let run = flipslot(folder.path(), &[&arguments[..], &["--yes"]].concat());
    unmount(&mounted);
    run.must_end(3, &["is in use: mounted at", "umount"]);
    assert_eq!(content_hash(&file), before);

    let above = Device::over(Path::new(&device.0));
    let run = flipslot(folder.path(), &[&arguments[..], &["--yes"]].concat());
    run.must_end(3, &["is a loop device over", &format!("losetup --detach {}", above.0)]);
    assert_eq!(content_hash(&file), before);
}
