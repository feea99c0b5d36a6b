//! Slots with XFS: made by `create`, made again by `flash`, and judged by xfsprogs and GRUB.

use crate::cli::images;
use crate::support::disk::{Disk, NAME, SLOT_A, SLOT_B};
use crate::support::layout::ImageLayout;
use crate::support::program::{assert_nothing_left, command, ended, flipslot, tool};
use crate::support::tar::{Tar, hardlink, symlink};
use flipslot::filesystem::features::Features;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;

fn debian() -> String {
    format!("oci:{}:latest", images::debian().display())
}

/// Fails unless the slot is what its record says for everyone who reads it: clean XFS with its label
/// and UUID, which its own command line names, and from which GRUB reads the kernel and initramfs
/// that were recorded.
fn must_be_whole(disk: &Disk, slot: &str, place: &Range<u64>) {
    let file = disk.extracted(place);
    let path = file.path().to_string_lossy();
    tool("xfs_repair", &["-n", "-f", &path]);
    let record = disk.must_be_read_by_grub(slot, file.path(), "xfs");
    let known = tool("xfs_admin", &["-l", "-u", &path]);
    assert!(known.contains(&format!("label = \"slot-{slot}\"")), "{known}");
    assert!(known.contains(&format!("UUID = {}", record["filesystem_uuid"].as_str().unwrap())), "{known}");
}

fn features_of(disk: &Disk, place: &Range<u64>) -> Vec<String> {
    let features = Features::read(disk.extracted(place).path()).unwrap().unwrap();
    features.names().into_iter().map(ToOwned::to_owned).collect()
}

#[test]
fn f15_a_slot_with_xfs_is_clean_and_read_by_grub_and_a_flash_makes_the_same_again() {
    let disk = Disk::made(&images::debian(), &["--filesystem=xfs"]);
    must_be_whole(&disk, "a", &SLOT_A);
    assert_eq!(features_of(&disk, &SLOT_A), ["crc", "finobt", "reflink", "ftype", "sparse"]);

    let run = disk.flash(&debian(), "b", &[]);
    run.must_end(0, &[]);
    assert!(!run.stderr.contains("GRUB"), "{}", run.stderr);
    assert_nothing_left(disk.folder(), &[NAME]);
    must_be_whole(&disk, "b", &SLOT_B);
    assert_eq!(features_of(&disk, &SLOT_B), features_of(&disk, &SLOT_A));
    assert_eq!(disk.status()["slots"][1]["filesystem"], "xfs");

    let options = ["--mkfs-options=-i nrext64=1 -m bigtime=1"];
    disk.flash(&debian(), "b", &options).must_end(0, &["GRUB 2.06, as released, does not read: nrext64", "nrext64"]);
    assert_eq!(features_of(&disk, &SLOT_B), ["crc", "finobt", "reflink", "ftype", "sparse", "bigtime", "nrext64"]);

    // What stands there is XFS, too, and would be written to.
    disk.flash(&debian(), "b", &["--mkfs-options=-N"]).must_end(1, &["did not make the requested filesystem"]);
    disk.flash(&debian(), "b", &["--filesystem=ext4"]).must_end(0, &[]);
    disk.must_be_clean(&SLOT_B);
    assert!(disk.boot_file("flipslot/slot-b.cfg").contains("'rootfstype=ext4'"));
    must_be_whole(&disk, "a", &SLOT_A);
}

#[test]
fn a_slot_too_small_for_xfs_and_a_machine_without_its_programs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    let arguments = ["create", "d.raw", "--slot=a=oci:image:1", "--filesystem=xfs", "--size=600MiB"];
    flipslot(folder.path(), &arguments)
        .must_end(3, &["slot a has 266MiB, but xfs needs at least 300MiB", "--filesystem a=ext4"]);
    fs::create_dir(folder.path().join("bin")).unwrap();
    let mut poor = command(folder.path(), &arguments);
    ended(poor.env("PATH", folder.path().join("bin")))
        .must_end(3, &["mkfs.xfs is not installed", "apt-get install xfsprogs"]);
    assert_nothing_left(folder.path(), &["bin", "image"]);
}

#[test]
fn words_for_mkfs_that_name_another_device_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    for words in ["-l logdev=/dev/sdz", "reflink=0"] {
        let options = format!("--mkfs-options={words}");
        let arguments = ["create", "d.raw", "--slot=a=oci:image:1", "--size=600MiB", &options];
        flipslot(folder.path(), &arguments).must_end(2, &["--mkfs-options", "next: "]);
    }
    assert_nothing_left(folder.path(), &["image"]);
}

#[test]
fn f6_a_root_that_the_slots_own_kernel_or_no_grub_reads_fails_and_says_which_feature_it_is() {
    let disk = Disk::with(&images::debian());
    let flash = |reference: &str, feature: &str| {
        disk.flash(reference, "b", &[&format!("--mkfs-options=-O {feature}"), "--console=ttyS0"])
    };
    flash(&debian(), "inline_data").must_end(1, &["no GRUB reads: inline_data", "--fix filesystem-grub"]);
    let with_5_10 = format!("oci:{}:latest", images::debian_called("bullseye").display());
    flash(&with_5_10, "orphan_file")
        .must_end(1, &["kernel 5.10.", "does not know: orphan_file", "--fix filesystem-kernel"]);
    assert_eq!(disk.status()["slots"][1]["holds"], "half");
    assert_nothing_left(disk.folder(), &[NAME]);
    flash(&debian(), "orphan_file").must_end(0, &[]);
}

#[test]
fn an_older_kernel_gets_the_filesystems_that_it_knows_without_a_word_of_the_user() {
    let folder = tempfile::tempdir().unwrap();
    let said = flipslot(folder.path(), &["check", &debian(), "--hardware=qemu", "--json"]);
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    let version = said["kernel"].as_str().unwrap();
    // What the files say is what counts; no image of such a kernel can be built here, and dracut finds the
    // modules under their own version.
    let older = Tar::of([
        symlink("usr/lib/modules/4.4.0-old", version),
        hardlink("boot/vmlinuz-4.4.0-old", format!("boot/vmlinuz-{version}")),
    ]);
    ImageLayout::over(&images::debian(), &[older]).write(&folder.path().join("image"), "1");
    let boots = ["--hardware=qemu", "--allow=driver-missing,driver-root"];
    let slots = ["--slot=a=oci:image:1", "--slot=b=oci:image:1", "--filesystem=a=xfs", "--filesystem=b=btrfs"];
    let create = ["create", NAME, "--size=2300MiB", "--slot-size=1GiB", "--kernel=4.4.0-old", "--progress=none"];
    let run = flipslot(folder.path(), &[&create[..], &slots, &boots].concat());
    run.must_end(0, &["slot a: the filesystem is made again, without what kernel 4.4.0-old does not know: reflink"]);
    let disk = Disk::at(folder.path());
    assert_eq!(features_of(&disk, &SLOT_A), ["crc", "finobt", "ftype", "sparse"]);
    must_be_whole(&disk, "a", &SLOT_A);
    let names = features_of(&disk, &SLOT_B);
    assert!(
        !names.contains(&"free-space-tree".to_owned()) && names.contains(&"skinny-metadata".to_owned()),
        "{names:?}"
    );
    tool("btrfs", &["check", "--readonly", &disk.extracted(&SLOT_B).path().to_string_lossy()]);

    let words = ["--slot=a=oci:image:1", "--filesystem=xfs", "--mkfs-options=-m reflink=1", "--yes"];
    let run = flipslot(folder.path(), &[&create[..], &words, &boots].concat());
    run.must_end(1, &["kernel 4.4.0-old does not know: reflink", "--fix filesystem-kernel"]);
    let run = flipslot(folder.path(), &[&create[..], &words, &boots, &["--fix=filesystem-kernel"]].concat());
    run.must_end(0, &[]);
    assert_eq!(features_of(&disk, &SLOT_A), ["crc", "finobt", "ftype", "sparse"]);
}

#[test]
fn a_slot_in_which_the_checker_finds_anything_is_not_published() {
    let disk = Disk::with(&images::debian());
    let bin = disk.folder().join("bin");
    fs::create_dir(&bin).unwrap();
    for (program, filesystem) in [("xfs_repair", "xfs"), ("btrfs", "btrfs"), ("e2fsck", "ext4")] {
        fs::write(bin.join(program), "#!/bin/sh\necho the superblock is bad; exit 4\n").unwrap();
        fs::set_permissions(bin.join(program), Permissions::from_mode(0o755)).unwrap();
        let (reference, filesystem) = (debian(), format!("--filesystem={filesystem}"));
        let flash =
            ["flash", &reference, "--disk", NAME, "--slot=b", "--progress=none", "--console=ttyS0", &filesystem];
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let run = ended(command(disk.folder(), &flash).env("PATH", path));
        run.must_end(1, &["checking the", "the superblock is bad"]);
        assert_eq!(disk.status()["slots"][1]["holds"], "half", "{program}");
        fs::remove_file(bin.join(program)).unwrap();
    }
}
