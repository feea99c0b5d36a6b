//! `--fix`: the slot is mended as it is written, the record names what was done, and the image stays as
//! it is.

use crate::check::own_initramfs;
use crate::cli::images;
use crate::support::disk::{Disk, NAME, SLOT_A, SLOT_B};
use crate::support::layout::ImageLayout;
use crate::support::program::{assert_nothing_left, flipslot};
use crate::support::tar::{Item, Tar, dir, file, symlink};
use flipslot::check::table::RULES;
use flipslot::filesystem::features::Features;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What `every_fault_of_files_and_words_is_mended_in_one_go` mends.
const AT_ONCE: [&str; 8] =
    ["selinux", "default-target", "fstab", "crypttab", "console", "getty", "machine-id", "ssh-host-keys"];
/// What `a_filesystem_with_too_new_features_is_made_again` mends.
const BY_FORMAT: [&str; 3] = ["filesystem-kernel", "filesystem-grub", "filesystem-old-grub"];

/// A Debian with every fault that files and words can have.
fn faulty(folder: &Path) -> PathBuf {
    let choices = "etc/systemd/system";
    let mut layer: Vec<Item> = vec![dir("etc/selinux"), dir("etc/ssh")];
    layer.push(file("etc/selinux/config", "SELINUX=enforcing\n"));
    layer.push(symlink(format!("{choices}/default.target"), "/dev/null"));
    layer.push(file("etc/fstab", "proc /proc proc\nUUID=0-1 /data ext4 defaults 0 2\n").mode(0o640));
    layer.push(file("etc/crypttab", "data UUID=0-2 none luks\n"));
    for unit in ["getty@.service", "serial-getty@.service", "getty.target"] {
        layer.push(symlink(format!("{choices}/{unit}"), "/dev/null"));
    }
    layer.push(file("etc/machine-id", "0123456789abcdef0123456789abcdef\n"));
    layer.push(file("etc/ssh/ssh_host_rsa_key", "secret").mode(0o600));
    layer.push(file("etc/ssh/ssh_host_rsa_key.pub", "public"));
    let place = folder.join("image");
    ImageLayout::over(&images::debian(), &[Tar::of(layer)]).write(&place, "latest");
    place
}

#[test]
fn every_rule_that_can_mend_is_seen_to() {
    let seen: BTreeSet<&str> = AT_ONCE.into_iter().chain(BY_FORMAT).chain(own_initramfs::MENDED).collect();
    let mendable: BTreeSet<&str> = RULES.iter().filter(|rule| rule.fix.is_some()).map(|rule| rule.id).collect();
    assert_eq!(seen, mendable);
}

#[test]
fn f7_f8_f9_f12_every_fault_of_files_and_words_is_mended_in_one_go() {
    let folder = tempfile::tempdir().unwrap();
    let image = faulty(folder.path());
    let slot = format!("--slot=a=oci:{}:latest", image.display());
    let words = ["create", NAME, &slot, "--size=2300MiB", "--slot-size=1GiB", "--data", "--progress=plain"];
    // Only tty0 is on the command line; QEMU's console is ttyS0, and gets its login with its word.
    let words = [&words[..], &["--hardware=qemu", "--console=tty0"]].concat();
    let create = |more: &[&str]| flipslot(folder.path(), &[&words[..], more].concat());

    let refused = create(&[]);
    refused.must_end(1, &["the image would not come up on QEMU", "[selinux]", "[fstab]", "[crypttab]", "[getty]"]);
    refused.must_end(1, &["[default-target]", "--fix crypttab,default-target,fstab,getty,selinux"]);
    assert_nothing_left(folder.path(), &["image"]);

    let run = create(&[&format!("--fix={}", AT_ONCE.join(","))]);
    run.must_end(0, &["[reachable]"]);
    let disk = Disk::at(folder.path());
    let status = disk.status();
    let mended = status["slots"][0]["mended"].as_array().unwrap();
    let rules: BTreeSet<&str> = mended.iter().map(|mended| mended["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, BTreeSet::from(AT_ONCE), "{status:#}");
    assert!(disk.status_text().contains("fixed fstab: /etc/fstab line 2 is commented out"), "{}", disk.status_text());
    let entry = disk.boot_file("flipslot/slot-a.cfg");
    for word in ["enforcing=0", "console=ttyS0,115200"] {
        assert!(entry.contains(word), "{word}: {entry}");
    }
    disk.look_into(&SLOT_A, |root| {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        let target = |path: &str| fs::read_link(root.join(path)).unwrap().to_string_lossy().into_owned();
        let gone = |path: &str| !root.join(path).exists() && !root.join(path).is_symlink();
        assert!(target("etc/systemd/system/default.target").ends_with("/systemd/system/multi-user.target"));
        assert_eq!(
            text("etc/fstab"),
            "proc /proc proc\n# flipslot: not on this disk: UUID=0-1 /data ext4 defaults 0 2\n"
        );
        assert_eq!(text("etc/crypttab"), "# flipslot: not on this disk: data UUID=0-2 none luks\n");
        assert_eq!(text("etc/machine-id"), "");
        assert!(gone("etc/ssh/ssh_host_rsa_key") && gone("etc/ssh/ssh_host_rsa_key.pub"));
        assert!(text("etc/systemd/system/flipslot-host-keys.service").contains("ssh-keygen -A"));
        let units = ["getty@.service", "serial-getty@.service", "getty.target"];
        assert!(units.iter().all(|unit| gone(&format!("etc/systemd/system/{unit}"))));
        let wants = "etc/systemd/system/getty.target.wants";
        assert!(target(&format!("{wants}/serial-getty@ttyS0.service")).ends_with("/serial-getty@.service"));
        assert_eq!(text("etc/selinux/config"), "SELINUX=enforcing\n", "it is said on the command line alone");
    });
    disk.must_be_clean(&SLOT_A);
    let check = ["check", "--disk", NAME, "--slot=a", "--hardware=qemu", "--progress=none", "--strict"];
    flipslot(folder.path(), &check).must_end(1, &["0 errors, 1 warning", "--allow reachable"]);
}

#[test]
fn f6_a_filesystem_with_too_new_features_is_made_again() {
    let disk = Disk::with(&images::debian());
    let [with_6_1, with_5_10] =
        [images::debian(), images::debian_called("bullseye")].map(|image| format!("oci:{}:latest", image.display()));
    for (image, filesystem, option, rule) in [
        (&with_6_1, "ext4", "-O inline_data", "filesystem-grub"),
        (&with_5_10, "ext4", "-O orphan_file", "filesystem-kernel"),
        (&with_6_1, "xfs", "-i nrext64=1", "filesystem-old-grub"),
        (&with_6_1, "btrfs", "-O no-holes", "filesystem-old-grub"),
    ] {
        let options = [format!("--mkfs-options={option}"), format!("--filesystem={filesystem}")];
        let run = disk.flash(image, "b", &[&options[0], &options[1], &format!("--fix={}", BY_FORMAT.join(","))]);
        run.must_end(0, &[]);
        let mended = disk.status()["slots"][1]["mended"].clone();
        let rules: Vec<&str> = mended.as_array().unwrap().iter().filter_map(|mended| mended["rule"].as_str()).collect();
        assert_eq!(rules, [rule], "{mended}");
        let features = Features::read(disk.extracted(&SLOT_B).path()).unwrap().unwrap();
        let feature = option.split([' ', '=']).nth(1).unwrap();
        assert!(!features.names().contains(&feature), "{feature}: {:?}", features.names());
    }
}
