//! Errors, signals and kills in the middle: nothing stays behind, and what was cut does not boot.

use crate::cli::images;
use crate::support::layout::blob_path;
use crate::support::program::{Guard, assert_nothing_left, command, flipslot, tool};
use crate::support::registry::{Fault, Registry};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SLOT: &str = "--slot=a=oci:image:1";

#[test]
fn an_image_that_cannot_boot_says_which_line_to_add_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    let run = flipslot(folder.path(), &["create", "d.raw", "--size=600MiB", SLOT]);
    run.must_end(
        1,
        &[
            "slot a",
            "no kernel",
            "no init",
            "RUN apt-get update && apt-get install -y linux-image-amd64 systemd-sysv\n",
        ],
    );
    assert_nothing_left(folder.path(), &["image"]);
}

#[test]
fn b1_a_layer_of_another_digest_fails_names_the_layer_and_keeps_the_old_disk() {
    let folder = tempfile::tempdir().unwrap();
    let image = images::bulky(1 << 20);
    let layer = image.layer(0);
    image.write(&folder.path().join("image"), "1");
    let blob = File::options().write(true).open(blob_path(&folder.path().join("image"), &layer)).unwrap();
    blob.write_all_at(b"flip", 700_000).unwrap();
    fs::write(folder.path().join("d.raw"), "the old disk").unwrap();
    let run = flipslot(folder.path(), &["create", "d.raw", "--size=600MiB", "--yes", SLOT]);
    run.must_end(1, &["layer 1 of 1", &layer.to_string(), "the blob's digest is"]);
    assert_nothing_left(folder.path(), &["d.raw", "image"]);
    assert_eq!(fs::read(folder.path().join("d.raw")).unwrap(), b"the old disk");
}

#[test]
fn a_failing_program_is_shown_with_command_line_exit_code_and_stderr() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("mke2fs"), "#!/bin/sh\necho 'no luck today' >&2\nexit 5\n").unwrap();
    fs::set_permissions(bin.join("mke2fs"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut create = command(folder.path(), &["create", "d.raw", "--size=600MiB", SLOT]);
    create.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    let run = crate::support::program::ended(&mut create);
    run.must_end(1, &["`mke2fs -q -F -t ext4", "ended with exit code 5", "no luck today"]);
    assert_nothing_left(folder.path(), &["bin", "image"]);
}

/// Starts `create` from a registry that stalls in the middle of a layer, and waits until the slot
/// is mounted and bytes of the layer are in it.
fn stalled(folder: &Path, disk: &str, registry: &Registry) -> Guard {
    let slot = format!("--slot=a=docker://{}/x/y:1", registry.address);
    let mut create = command(folder, &["create", disk, "--yes", "--no-cache", "--progress=none", &slot]);
    match disk.strip_prefix("/dev/") {
        None => create.arg("--size=600MiB"),
        // What is not empty must be named by more than --yes (docs/decisions/0028).
        Some(name) => {
            let backing = fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).unwrap();
            create.arg(format!("--expect-serial={}", backing.trim()))
        }
    };
    until_a_layer_is_written(&mut create, "a")
}

/// Starts a command that reads from a [`stalling_registry`], and waits until bytes of the layer are
/// in `slot`.
pub fn until_a_layer_is_written(command: &mut Command, slot: &str) -> Guard {
    let mut child = Guard(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let place = format!("/proc/{}/root/run/flipslot/slot-{slot}/etc/bulk", child.0.id());
    let begin = Instant::now();
    while fs::metadata(&place).map_or(0, |meta| meta.len()) == 0 {
        assert!(
            child.0.try_wait().unwrap().is_none() && begin.elapsed() < Duration::from_secs(600),
            "the layer never came"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// A registry with an image whose only layer never comes to its end.
pub fn stalling_registry(folder: &Path) -> Registry {
    images::bulky(8 << 20).write(&folder.join("image"), "1");
    Registry::start(&folder.join("image"), Fault::Stall(6 << 20))
}

#[test]
fn a23_while_layers_are_written_nothing_of_the_slot_can_be_run() {
    let folder = tempfile::tempdir().unwrap();
    let registry = stalling_registry(folder.path());
    let child = stalled(folder.path(), "d.raw", &registry);
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", child.0.id())).unwrap();
    let slot = mounts.lines().find(|line| line.contains(" /run/flipslot/slot-a ")).expect("the slot is mounted");
    for flag in ["nosuid", "nodev", "noexec"] {
        assert!(slot.contains(flag), "{slot}");
    }
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains("/run/flipslot"), "nobody else sees it");
    assert_eq!(
        fs::metadata("/run/flipslot").unwrap().permissions(),
        std::os::unix::fs::PermissionsExt::from_mode(0o40700)
    );
}

#[test]
fn e5_e6_signals_and_kills_leave_nothing() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1), ("KILL", 9)] {
        let folder = tempfile::tempdir().unwrap();
        let registry = stalling_registry(folder.path());
        fs::write(folder.path().join("d.raw"), "the old disk").unwrap();
        let mut child = stalled(folder.path(), "d.raw", &registry);
        tool("kill", &["-s", signal, &child.0.id().to_string()]);
        assert_eq!(child.0.wait().unwrap().signal(), Some(number), "it ends by the signal, at once");
        assert_nothing_left(folder.path(), &["d.raw", "image"]);
        assert_eq!(fs::read(folder.path().join("d.raw")).unwrap(), b"the old disk");
    }
}

#[test]
fn a_device_that_was_cut_short_has_no_boot_code_and_no_table() {
    let folder = tempfile::tempdir().unwrap();
    let registry = stalling_registry(folder.path());
    let backing = folder.path().join("backing");
    // An old bootable disk: boot code and signature in its first sector.
    let file = File::options().create_new(true).read(true).write(true).open(&backing).unwrap();
    file.set_len(600 << 20).unwrap();
    tool("sgdisk", &["--clear", "--new=1:2048:+1M", &backing.to_string_lossy()]);
    file.write_all_at(&[0xeb; 440], 0).unwrap();
    let device = tool("losetup", &["--find", "--show", &backing.to_string_lossy()]).trim().to_owned();
    let mut child = stalled(folder.path(), &device, &registry);
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    tool("losetup", &["--detach", &device]);
    let mut first = vec![1; 1 << 20];
    file.read_exact_at(&mut first, 0).unwrap();
    assert!(first.iter().all(|byte| *byte == 0), "the first MiB is empty until everything else is written");
    let mut last = vec![1; 34 * 512];
    file.read_exact_at(&mut last, (600 << 20) - 34 * 512).unwrap();
    assert!(last.iter().all(|byte| *byte == 0), "no backup table leads anywhere");
}
