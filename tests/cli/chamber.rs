//! The chamber: an image whose dracut is hostile gets nowhere.

use crate::cli::images;
use crate::support::program::{assert_nothing_left, flipslot, tool};
use crate::support::tar::{Tar, file};
use std::fs;

/// Tries to leave the slot, in the ways that a root in a mere chroot has, and says on stderr which
/// of them worked; then fails, so that what it said is shown.
const HOSTILE: &str = r#"#!/bin/bash
tried() { local name=$1; shift; if "$@" 2>/dev/null; then echo "WORKED: $name" >&2; else echo "failed: $name" >&2; fi; }
write() { echo x > "$1"; }
tried write-slot write /etc/planted
tried write-usr write /usr/bin/planted
tried remount mount -o remount,rw /
tried sysrq write /proc/sysrq-trigger
tried core-pattern write /proc/sys/kernel/core_pattern
tried new-device mknod /dev/planted b 7 0
open_device() { mknod /tmp/disk b 7 0 && head -c 1 /tmp/disk; }
tried device-in-tmp open_device
climb() { cd /tmp && mkdir -p x && chroot x /bin/true; cd ../../../../../../.. ; [ -e ./victim ]; }
tried climb climb
tried see-processes [ "$(ls -d /proc/[0-9]* | wc -l)" -gt 20 ]
tried network [ -e /sys/class/net/eth0 ]
tried memory-is-usable write /run/mine
tried null-is-usable write /dev/null
exit 9
"#;

#[test]
fn a_hostile_dracut_changes_neither_this_machine_nor_its_own_verified_slot() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    tool("cp", &["-r", &images::debian_without_initramfs().to_string_lossy(), &path("image")]);
    fs::write(path("layer.tar"), Tar::of([file("usr/bin/dracut", HOSTILE).mode(0o755)])).unwrap();
    tool("umoci", &["raw", "add-layer", "--image", &format!("{}:latest", path("image")), &path("layer.tar")]);

    let run =
        flipslot(folder.path(), &["create", "d.raw", "--size=4GiB", "--hardware=qemu", "--slot=a=oci:image:latest"]);
    run.must_end(1, &["ended with exit code 9", "WORKED: memory-is-usable", "WORKED: null-is-usable"]);
    let worked = run.stderr.lines().filter(|line| line.contains("WORKED: ")).count();
    assert_eq!(worked, 2, "{}", run.stderr);
    assert_eq!(run.stderr.lines().filter(|line| line.contains("failed: ")).count(), 10, "{}", run.stderr);
    assert_nothing_left(folder.path(), &["image", "layer.tar"]);
}
