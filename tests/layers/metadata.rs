//! Metadata: owners, modes, times, attributes and device numbers arrive as the image has them.

use super::{sandbox, with_both_resolvers};
use crate::support::tar::{Item, Tar, block, character, dir, fifo, file, hardlink, number, odd, symlink};
use flipslot::disk::new::target::{Existing, Target};
use flipslot::filesystem::kind::Filesystem;
use flipslot::filesystem::mkfs::{MkfsOptions, New};
use flipslot::tool::Tool;
use flipslot::words::region::{Geometry, Region};
use flipslot::words::units::Bytes;
use rustix::fs::makedev;

/// A `security.capability` value: version 2, effective, cap_net_raw (linux/capability.h).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn a22_devices_and_pipes_are_made_with_their_numbers() {
    let layer = Tar::of([
        block("sda", 8, 0),
        character("mem", 1, 1),
        character("far", 0xfff, 0xf_ffff),
        block("zero", 0, 0),
        fifo("pipe").mode(0o622).owner(1, 2),
    ]);
    let tree = sandbox().tree_of(&[layer]);
    for (name, kind, device) in
        [("sda", 'b', (8, 0)), ("mem", 'c', (1, 1)), ("far", 'c', (0xfff, 0xf_ffff)), ("zero", 'b', (0, 0))]
    {
        assert_eq!((tree.at(name).kind, tree.at(name).device), (kind, makedev(device.0, device.1)), "{name}");
    }
    assert_eq!((tree.at("pipe").kind, tree.at("pipe").mode, tree.at("pipe").gid), ('p', 0o622, 2));
}

#[test]
fn a22_the_overlay_whiteout_device_is_refused() {
    let slot = sandbox();
    let text = slot.refusal_of(&[Tar::of([file("hidden", "")]), Tar::of([character("hidden", 0, 0)])]);
    assert!(text.contains("0:0") && text.contains("/hidden"), "{text}");
    assert_eq!(slot.tree().at("hidden").kind, 'f');
}

#[test]
fn a22_sockets_and_device_numbers_that_linux_lacks_are_refused() {
    // The device fields of a ustar header (tar(5)).
    let (major, minor) = (329, 337);
    let cases = [
        odd(b's', "socket", ""),
        character("dev", 1 << 12, 0),
        character("dev", 0, 1 << 20),
        block("dev", 0, 0).patch(major, number(1 << 33, 8)),
        block("dev", 0, 0).patch(minor, number(-1, 8)),
        block("dev", 0, 0).patch(minor, "nonsense"),
    ];
    for case in cases {
        let slot = sandbox();
        slot.refusal_of(&[Tar::of([case])]);
        assert!(slot.tree().names().is_empty());
    }
}

#[test]
fn a23_setuid_setgid_sticky_and_capabilities_are_kept_whoever_owns_the_file() {
    let layer = Tar::of([
        file("su", "x").mode(0o4755).owner(1000, 1000),
        file("wall", "x").mode(0o2755).owner(0, 5),
        dir("tmp").mode(0o1777),
        dir("shared").mode(0o2775).owner(0, 50),
        file("shared/inside", ""),
        file("ping", "x").mode(0o755).owner(7, 7).xattr("security.capability", CAPABILITY),
        hardlink("ping6", "ping"),
    ]);
    let tree = sandbox().tree_of(&[layer]);
    for (name, mode, owner) in
        [("su", 0o4755, (1000, 1000)), ("wall", 0o2755, (0, 5)), ("tmp", 0o1777, (0, 0)), ("shared", 0o2775, (0, 50))]
    {
        assert_eq!((tree.at(name).mode, (tree.at(name).uid, tree.at(name).gid)), (mode, owner), "{name}");
    }
    assert_eq!(tree.at("shared/inside").gid, 0, "a setgid directory gives no group to what has an owner of its own");
    assert_eq!(tree.at("ping6").xattrs[&b"security.capability"[..]], CAPABILITY);
}

#[test]
fn a24_attributes_of_known_namespaces_are_kept_byte_by_byte() {
    let binary = b"\x00\n=\xff 12 a=b\n";
    let layer = Tar::of([
        file("f", "").xattr("user.binary", binary).xattr("user.empty", "").xattr("trusted.t", "1"),
        dir("d").xattr("security.selinux", "system_u:object_r:etc_t:s0\0"),
        symlink("l", "f").xattr("trusted.l", "of the link"),
        fifo("p").xattr("trusted.p", "of the pipe"),
    ]);
    let tree = sandbox().tree_of(&[layer]);
    let value = |path: &str, name: &str| tree.at(path).xattrs.get(name.as_bytes()).cloned();
    assert_eq!((value("f", "user.binary"), value("f", "user.empty")), (Some(binary.to_vec()), Some(vec![])));
    assert_eq!(value("d", "security.selinux").unwrap(), b"system_u:object_r:etc_t:s0\0");
    assert_eq!(value("l", "trusted.l").unwrap(), b"of the link");
    assert_eq!(value("p", "trusted.p").unwrap(), b"of the pipe");
    assert_eq!(tree.at("f").xattrs.len(), 3, "the link's attribute is its own");
}

#[test]
fn a24_other_attributes_are_refused_and_the_file_is_not_made() {
    let long = format!("user.{}", "n".repeat(256));
    let names: [&[u8]; 7] = [
        b"trusted.overlay.opaque",
        b"trusted.overlay.redirect",
        b"system.nfs4_acl",
        b"user.a\0b",
        b"",
        b"user.",
        long.as_bytes(),
    ];
    for name in names {
        let slot = sandbox();
        let text = slot.refusal_of(&[Tar::of([file("f", "").xattr(name, "v")])]);
        assert!(text.contains("is not allowed in a slot") && !text.contains('\0'), "{text}");
        assert!(slot.tree().names().is_empty(), "{}", name.escape_ascii());
    }
    sandbox().refusal_of(&[Tar::of([file("f", "").xattr("user.large", vec![b'v'; 65537])])]);
}

#[test]
fn a24_a_later_layer_takes_attributes_away_from_a_directory() {
    let of = |names: &[&str]| names.iter().fold(dir("d"), |dir, name| dir.xattr(name, "v"));
    let tree = sandbox().tree_of(&[
        Tar::of([of(&["user.old", "trusted.old", "user.kept"])]),
        Tar::of([of(&["user.kept", "user.new"])]),
    ]);
    let names: Vec<_> = tree.at("d").xattrs.keys().map(|name| name.escape_ascii().to_string()).collect();
    assert_eq!(names, ["user.kept", "user.new"]);
}

#[test]
fn a37_the_slots_filesystem_tells_upper_from_lower_case() {
    let folder = tempfile::tempdir().unwrap();
    let size = 16 << 20;
    let geometry = Geometry { size: Bytes(size), sector: 512 };
    let target = Target::of_file(&folder.path().join("slot.img"), geometry, Existing::Refuse).unwrap();
    let options = &MkfsOptions::default();
    let new = New { label: "slot-a", uuid: uuid::Uuid::new_v4(), options, epoch: None, kernel: None };
    let vacant = target.vacant(Region { number: 1, start: 0, size }).unwrap();
    let device = Filesystem::Ext4.format(vacant, &new).unwrap();
    let printed = Tool::new("dumpe2fs").arg("-h").arg(device.path()).run().unwrap().stdout;
    let features =
        printed.lines().find(|line| line.starts_with("Filesystem features:")).expect("dumpe2fs names the features");
    assert!(features.contains("extent"), "{features}");
    for unwanted in ["casefold", "encrypt", "orphan_file", "metadata_csum_seed"] {
        assert!(!features.contains(unwanted), "{features}");
    }
}

#[test]
fn a37_names_that_differ_in_case_or_normalisation_are_different_files() {
    let names = ["name", "Name", "NAME", "caf\u{e9}", "cafe\u{301}"];
    assert_eq!(sandbox().tree_of(&[Tar::of(names.map(|name| file(name, name)))]).names().len(), names.len());
}

#[test]
fn a38_a_directory_described_after_its_files_is_as_described() {
    with_both_resolvers(|slot| {
        let late = dir("late").mode(0o2750).owner(3, 4).mtime(111, 222).xattr("user.x", "y");
        let tree = slot.tree_of(&[Tar::of([file("late/sub/f", ""), late])]);
        let node = tree.at("late");
        assert_eq!((node.mode, node.uid, node.gid, node.mtime), (0o2750, 3, 4, (111, 222)));
        assert_eq!(node.xattrs.len(), 1);
        let implied = tree.at("late/sub");
        assert_eq!(
            (implied.mode, implied.uid, implied.mtime),
            (0o755, 0, (0, 0)),
            "and what nothing describes is the same each time"
        );
    });
}

#[test]
fn a38_a_directory_of_mode_0_takes_children_and_keeps_mode_and_time() {
    with_both_resolvers(|slot| {
        let layer = |items: Vec<Item>| Tar::of(items);
        let lower = vec![
            dir("closed").mode(0).mtime(50, 60),
            file("closed/f", ""),
            dir("closed/sub").mtime(70, 80),
            file("closed/sub/g", ""),
        ];
        let upper = vec![
            file("closed/later", ""),
            file("closed/sub/later", ""),
            hardlink("closed/hard", "closed/f"),
            file("closed/.wh.f", ""),
        ];
        let tree = slot.tree_of(&[layer(lower), layer(upper)]);
        assert_eq!(
            tree.names(),
            ["closed", "closed/hard", "closed/later", "closed/sub", "closed/sub/g", "closed/sub/later"]
        );
        assert_eq!(
            (tree.at("closed").mode, tree.at("closed").mtime, tree.at("closed/sub").mtime),
            (0, (50, 60), (70, 80))
        );
    });
}

#[test]
fn a38_times_have_nanoseconds_and_may_lie_before_1970() {
    let layer = Tar::of([
        file("f", "").mtime(1_350_244_992, 23_960_108),
        dir("d").mtime(-1, 999_999_999),
        symlink("l", "f").mtime(-5, 0),
        fifo("p").mtime(7, 1),
    ]);
    let tree = sandbox().tree_of(&[layer]);
    for (name, mtime) in [("f", (1_350_244_992, 23_960_108)), ("d", (-1, 999_999_999)), ("l", (-5, 0)), ("p", (7, 1))] {
        assert_eq!(tree.at(name).mtime, mtime, "{name}");
    }
}

#[test]
fn attributes_that_linux_does_not_have_are_left_out_and_access_control_lists_are_kept() {
    let slot = sandbox();
    let tree = slot.tree_of(&[Tar::of([
        file("photo", "")
            .xattr("com.apple.quarantine", "0081")
            .xattr("btrfs.compression", "zstd")
            .xattr("user.kept", "1"),
        symlink("link", "photo").xattr("user.lost", "1").xattr("trusted.kept", "1"),
        file("shared", "")
            .mode(0o660)
            .record("SCHILY.acl.access", "user::rw-,user:lisa:rw-:1000,group::r--,mask::rw-,other::---"),
    ])]);
    assert_eq!(tree.at("photo").xattrs.keys().collect::<Vec<_>>(), [b"user.kept"]);
    assert_eq!(tree.at("link").xattrs.keys().collect::<Vec<_>>(), [b"trusted.kept"]);
    assert!(tree.at("shared").xattrs[&b"system.posix_acl_access"[..]].starts_with(&[2, 0, 0, 0, 1, 0, 6, 0]));
}
