//! A flash that does not come to its end costs its own slot and nothing else.

use crate::cli::images;
use crate::cli::leftovers::{stalling_registry, until_a_layer_is_written};
use crate::support::disk::{BOOT, Disk, NAME, SLOT_B};
use crate::support::program::{assert_nothing_left, command};
use crate::support::registry::Registry;
use flipslot::boot::state::State;
use flipslot::words::digest::Digest;
use serde_json::json;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Fails unless slot b is half written, and every byte outside it and its two files is as before.
fn assert_only_slot_b_is_lost(disk: &Disk, before: &[Digest], files: &[(&str, String)]) {
    let status = disk.status();
    assert_eq!((&status["slots"][0]["holds"], &status["slots"][1]["holds"]), (&json!("image"), &json!("half")));
    assert_eq!((&status["next_boot"], &status["damage"]), (&json!("a"), &json!(null)));
    let text = disk.status_text();
    assert!(text.contains("slot b  half written: flash it again"), "{text}");
    let outside: Vec<u64> = disk
        .changed_since(before)
        .into_iter()
        .filter(|mebibyte| !BOOT.contains(mebibyte) && !SLOT_B.contains(mebibyte))
        .collect();
    assert!(outside.is_empty(), "MiB {outside:?}");
    for (name, content) in files {
        assert_eq!(disk.boot_file(name), *content, "{name}");
    }
    // What GRUB reads of it: a comment, and no entry.
    let entry = disk.boot_file("flipslot/slot-b.cfg");
    assert!(entry.lines().all(|line| line.starts_with('#')), "{entry}");
}

fn flash_from(disk: &Disk, registry: &Registry) -> Command {
    let reference = format!("docker://{}/x/y:1", registry.address);
    command(disk.folder(), &["flash", &reference, "--disk", NAME, "--slot=b", "--progress=none"])
}

fn files_of_the_other_slot(disk: &Disk) -> Vec<(&'static str, String)> {
    ["grub/grub.cfg", "flipslot/state-1", "flipslot/state-2", "flipslot/slot-a.cfg", "flipslot/slot-a.json"]
        .map(|name| (name, disk.boot_file(name)))
        .to_vec()
}

#[test]
fn an_image_that_cannot_boot_leaves_a_half_written_slot_and_the_next_flash_mends_it() {
    let disk = Disk::with(&images::debian());
    images::no_kernel().write(&disk.folder().join("image"), "1");
    let (before, files) = (disk.content(), files_of_the_other_slot(&disk));
    disk.flash("oci:image:1", "b", &[]).must_end(1, &["no kernel", "next: "]);
    assert_only_slot_b_is_lost(&disk, &before, &files);
    assert_nothing_left(disk.folder(), &[NAME, "image"]);

    disk.flash(&format!("oci:{}:latest", images::debian().display()), "b", &[]).must_end(0, &[]);
    assert_eq!(disk.status()["slots"][1]["holds"], "image");
    disk.must_be_clean(&SLOT_B);
}

#[test]
fn a_kill_while_layers_are_written_leaves_no_mount_no_loop_and_a_half_written_slot() {
    let disk = Disk::with(&images::debian());
    let registry = stalling_registry(disk.folder());
    let (before, files) = (disk.content(), files_of_the_other_slot(&disk));
    let mut child = until_a_layer_is_written(&mut flash_from(&disk, &registry), "b");
    child.0.kill().unwrap();
    assert_eq!(child.0.wait().unwrap().signal(), Some(9));
    assert_nothing_left(disk.folder(), &[NAME, "image"]);
    assert_only_slot_b_is_lost(&disk, &before, &files);
}

#[test]
fn before_the_first_byte_is_written_nothing_points_at_the_slot_any_more() {
    let disk = Disk::with(&images::debian());
    let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    // GRUB shall try b, and b was proven before a: as after a rollback and a change of mind.
    disk.put_state(State { wanted: b, proven: a, tries: 1, before: Some(b), terms: None });
    assert_eq!((&disk.status()["next_boot"], &disk.status()["proven_before"]), (&json!("b"), &json!("b")));
    let registry = stalling_registry(disk.folder());
    let _child = until_a_layer_is_written(&mut flash_from(&disk, &registry), "b");
    let status = disk.status();
    assert_eq!((&status["wanted"], &status["next_boot"]), (&json!("a"), &json!("a")));
    assert_eq!((&status["tries"], &status["proven_before"]), (&json!(0), &json!(null)));
    assert_eq!(status["slots"][1]["holds"], "half");
}
