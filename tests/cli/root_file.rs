//! Slots whose root is one file that is only read: what is in them, and what is refused.

use crate::cli::images;
use crate::support::disk::{DATA, Disk, SLOT_A, SLOT_B};
use crate::support::layout::ImageLayout;
use crate::support::program::{flipslot, tool};
use crate::support::tar::{Tar, file};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

fn debian() -> String {
    format!("oci:{}:latest", images::debian().display())
}

fn record(disk: &Disk, slot: char) -> Value {
    serde_json::from_str(&disk.boot_file(&format!("flipslot/slot-{slot}.json"))).unwrap()
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Fails unless veritysetup(8) finds the root whole, and one with a wrong byte not.
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn judge(root: &Path, hash: &str) {
    let (tree, hash) = (root.with_extension("verity"), hash.trim_start_matches("sha256:"));
    let is_whole = |root: &Path| {
        let words = [Path::new("verify"), root, &tree, Path::new(hash)];
        Command::new("veritysetup").args(words).output().unwrap().status.success()
    };
    assert!(is_whole(root));
    let mut bytes = fs::read(root).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let other = tempfile::NamedTempFile::new().unwrap();
    fs::write(other.path(), bytes).unwrap();
    assert!(!is_whole(other.path()), "one wrong byte is found");
}

#[test]
fn the_root_has_the_bytes_of_image_and_what_flipslot_adds_is_beside_it() {
    let disk = Disk::made(&images::debian(), &["--root=squashfs"]);
    disk.must_be_clean(&SLOT_A);
    let alone = disk.folder().join("alone.squashfs");
    flipslot(disk.folder(), &["image", &alone.to_string_lossy(), &debian(), "--progress=none"]).must_end(0, &[]);
    let record = record(&disk, 'a');
    let version = record["entry"]["kernel"]["version"].as_str().unwrap().to_owned();
    disk.look_into(&SLOT_A, |slot| {
        assert_eq!(names(slot), ["boot", "flipslot", "lost+found"].map(str::to_owned).into());
        assert_eq!(names(&slot.join("flipslot")), ["layer", "root", "root.verity"].map(str::to_owned).into());
        let boot = [format!("initramfs-{version}.img"), format!("vmlinuz-{version}")];
        assert_eq!(names(&slot.join("boot")), boot.into());
        assert!(fs::read(slot.join("flipslot/root")).unwrap() == fs::read(&alone).unwrap(), "one digest in every form");
        judge(&slot.join("flipslot/root"), record["root"]["verity"].as_str().unwrap());
        let layer = slot.join("flipslot/layer");
        assert!(layer.join("usr/lib/flipslot/flipslot").is_file() && !layer.join("etc/os-release").exists());
        assert!(names(&layer.join("boot")).is_empty(), "the initramfs is beside the root, and not in it");
        assert_eq!(fs::metadata(layer.join("usr")).unwrap().mode() & 0o7777, 0o755);
    });
    let digest = tool("sha256sum", &[&alone.to_string_lossy()]);
    let digest = digest.split(' ').next().unwrap();
    assert_eq!(record["root"]["digest"], format!("sha256:{digest}"));
    let entry = disk.boot_file("flipslot/slot-a.cfg");
    assert!(entry.contains(&format!("/flipslot/root@sha256:{digest}'")) && entry.contains("/boot/vmlinuz-"), "{entry}");
    let hash = record["root"]["verity"].as_str().unwrap().trim_start_matches("sha256:");
    assert!(entry.contains(&format!("'flipslot.verity={hash}'")), "{entry}");
    assert!(!entry.contains("rootfstype=") && entry.contains("'ro'"), "{entry}");
    let status = disk.status_text();
    assert!(status.contains("root: one squashfs of ") && status.contains("a restart is the image again"), "{status}");
}

#[test]
fn a_flash_has_the_root_of_the_slot_before_unless_another_is_asked_for() {
    let disk = Disk::made(&images::debian(), &["--root=erofs"]);
    disk.flash(&debian(), "b", &[]).must_end(0, &[]);
    assert_eq!(record(&disk, 'b')["root"]["format"], "erofs");
    disk.must_be_clean(&SLOT_B);
    let words = disk.boot_file("flipslot/slot-b.cfg");
    assert_eq!(
        words.matches("flipslot.verity=").count(),
        1,
        "the hash of this root, and not that of the slot before: {words}"
    );
    disk.flash(&debian(), "b", &["--root=files"]).must_end(0, &[]);
    assert_eq!(record(&disk, 'b').get("root"), None, "and files, if that is asked for");
    disk.look_into(&SLOT_B, |slot| assert!(slot.join("etc/os-release").exists() && !slot.join("flipslot").exists()));
    let words = disk.boot_file("flipslot/slot-b.cfg");
    assert!(words.contains("'rw'") && !words.contains("'ro'") && !words.contains("root=flipslot"), "{words}");
    assert!(!words.contains("flipslot.verity="), "{words}");
}

#[test]
fn what_is_written_is_kept_in_a_data_partition_that_has_a_filesystem() {
    let disk = Disk::made(&images::debian(), &["--root=squashfs", "--overlay=data"]);
    disk.must_be_clean(&DATA);
    let entry = disk.boot_file("flipslot/slot-a.cfg");
    assert!(entry.contains("flipslot.overlay=data:PARTUUID="), "{entry}");
    let other = Disk::with(&images::debian());
    let refused = other.flash(&debian(), "b", &["--root=squashfs", "--overlay=data"]);
    refused.must_end(3, &["the disk has none with ext4, XFS or btrfs"]);
}

#[test]
fn what_does_not_go_with_such_a_root_is_refused() {
    let disk = Disk::with(&images::debian());
    let refused = |words: &[&str], said: &str| disk.flash(&debian(), "b", words).must_end(2, &[said]);
    refused(&["--overlay=ram"], "--overlay is for a root that is one file");
    refused(&["--root=squashfs", "--initramfs=dracut"], "mounted by flipslot's own initramfs alone");
    let folder = disk.folder();
    let words =
        ["create", "x.raw", "--size=3GiB", &format!("--slot=a={}", debian()), "--root=squashfs", "--overlay=data"];
    flipslot(folder, &words).must_end(3, &["the disk has none"]);
    assert!(!folder.join("x.raw").exists());
    let check = Disk::made(&images::debian(), &["--root=squashfs"]);
    let path = check.path();
    let judged = flipslot(check.folder(), &["check", "--disk", &path.to_string_lossy(), "--slot", "a"]);
    judged.must_end(3, &["it was judged when it was written"]);
}

#[test]
fn a_file_that_a_fix_removes_is_a_whiteout_in_the_layer() {
    let disk = Disk::with(&images::debian());
    let keys = disk.folder().join("keys");
    let layer = Tar::of([file("etc/ssh/ssh_host_ed25519_key", "a key that every machine would have")]);
    ImageLayout::over(&images::debian(), &[layer]).write(&keys, "latest");
    disk.flash(&format!("oci:{}:latest", keys.display()), "b", &["--root=squashfs", "--fix=ssh-host-keys"])
        .must_end(0, &[]);
    disk.look_into(&SLOT_B, |slot| {
        let key = slot.join("flipslot/layer/etc/ssh/ssh_host_ed25519_key");
        let found = fs::symlink_metadata(&key).unwrap();
        assert!(found.file_type().is_char_device() && found.rdev() == 0);
    });
}
