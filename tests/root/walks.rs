//! Walks: every name once, in one order, with all metadata.

use super::walked::{paths, walked};
use super::{Both, path};
use crate::support::tar::{Tar, block, character, dir, fifo, file, hardlink, symlink, whiteout};
use flipslot::layer::entry::{Meta, Time};
use flipslot::root::edit::Edit;
use flipslot::root::memory::MemoryTree;
use flipslot::root::memory::retention::Retain;
use flipslot::root::mounted::directory::Root;
use flipslot::root::walk::{NodeKind, Walk};
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use std::fs;
use std::os::unix::net::UnixListener;

#[test]
fn names_come_in_byte_order_and_directories_before_their_content() {
    let both = Both::of(&[Tar::of([
        file("b", ""),
        file("a.b", ""),
        dir("a"),
        file("a/z", ""),
        file("a/B", ""),
        dir("a/d"),
        file("a/d/x", ""),
        file(b"\xff", ""),
        file("\u{e4}", ""),
        file("a-", ""),
        file("new\nline", ""),
    ])]);
    let order = ["", "a", "a/B", "a/d", "a/d/x", "a/z", "a-", "a.b", "b", "new\\nline", "\\xc3\\xa4", "\\xff"];
    assert_eq!(paths(&both.mounted), order);
    assert_eq!(paths(&both.memory), order);
}

#[test]
fn every_kind_of_node_has_all_of_its_metadata() {
    let label = "system_u:object_r:etc_t:s0\0";
    let both = Both::of(&[Tar::of([
        dir("./").mode(0o711).owner(5, 6).mtime(1, 2).xattr("user.root", "r"),
        file("f", "content").mode(0o4755).owner(1_000_000, 3_000_000_000).mtime(-1, 5).xattr("user.b", b"\0\n"),
        file("labelled", "").xattr("user.z", "").xattr("security.selinux", label).xattr("trusted.a", "1"),
        hardlink("g", "f"),
        symlink("l", "/no/\u{e4}where").owner(3, 4).mtime(9, 9).xattr("trusted.l", "link"),
        hardlink("l2", "l"),
        character("c", 4095, 1_048_575).mode(0o666).xattr("security.selinux", label),
        block("b", 259, 300_000).owner(0, 6),
        fifo("p").mode(0o1600),
        hardlink("p2", "p"),
    ])]);
    let entries = walked(&both.memory);
    let at = |name: &str| entries.iter().find(|entry| entry.path == name.as_bytes()).unwrap();
    let time = |seconds, nanoseconds| Time { seconds, nanoseconds };
    assert_eq!((at("").meta.mode, at("").meta.uid, at("").meta.mtime), (0o711, 5, time(1, 2)));
    assert_eq!(at("").meta.xattrs.len(), 1);
    assert_eq!((at("f").links, at("g").first_name.as_slice(), &at("g").meta), (2, &b"f"[..], &at("f").meta));
    assert_eq!((at("f").meta.gid, at("f").meta.mtime), (3_000_000_000, time(-1, 5)));
    let names: Vec<_> = at("labelled").meta.xattrs.iter().map(|(name, _)| name.escape_ascii().to_string()).collect();
    assert_eq!(names, ["security.selinux", "trusted.a", "user.z"]);
    assert_eq!((at("l").meta.mode, at("l").meta.xattrs.len(), at("l2").links), (0o777, 1, 2));
    assert_eq!(at("c").kind, NodeKind::Character { major: 4095, minor: 1_048_575 });
    assert_eq!(at("b").kind, NodeKind::Block { major: 259, minor: 300_000 });
    assert_eq!((&at("p").kind, at("p2").first_name.as_slice()), (&NodeKind::Fifo, &b"p"[..]));
}

/// A default ACL as the kernel stores it (linux/posix_acl_xattr.h): version 2, and entries of tag, permissions
/// and number, for the owner, user 1, the group, the mask and others.
fn default_acl() -> Vec<u8> {
    const NONE: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [(1, 7, NONE), (2, 7, 1), (4, 5, NONE), (0x10, 7, NONE), (0x20, 0, NONE)];
    let entry = |(tag, permissions, number): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &number.to_le_bytes()].concat()
    };
    [2_u32.to_le_bytes().to_vec(), entries.into_iter().flat_map(entry).collect()].concat()
}

#[test]
fn nothing_inherits_the_acl_of_the_directory_around_it() {
    let layer = [
        dir("d").xattr("system.posix_acl_default", default_acl()),
        file("d/f", "").mode(0o664),
        dir("d/sub").mode(0o775),
        fifo("d/p").mode(0o666),
        symlink("d/l", "f"),
        file("d/made/f", ""),
    ];
    let mut both = Both::of(&[Tar::of(layer)]);
    both.edit(|root| root.put_text(&path("d/other/text"), b"x")).unwrap();
    let entries = walked(&both.mounted);
    assert_eq!(entries.iter().filter(|entry| !entry.meta.xattrs.is_empty()).count(), 1);
    assert!(entries.iter().any(|entry| entry.path == b"d/p" && entry.meta.mode == 0o666));
}

#[test]
fn links_are_counted_while_names_come_and_go() {
    let mut both = Both::of(&[
        Tar::of([
            dir("d"),
            file("d/one", ""),
            hardlink("two", "d/one"),
            hardlink("three", "d/one"),
            dir("e"),
            hardlink("e/four", "two"),
        ]),
        Tar::of([whiteout("e"), file("three", "new"), hardlink("five", "two")]),
    ]);
    let links =
        |both: &Both, name: &str| walked(&both.memory).iter().find(|e| e.path == name.as_bytes()).unwrap().links;
    assert_eq!((links(&both, "two"), links(&both, "three")), (3, 1));
    both.edit(|root| root.remove(&path("five"))).unwrap();
    both.edit(|root| root.put_text(&path("two"), b"x")).unwrap();
    assert_eq!((links(&both, "two"), links(&both, "d/one")), (1, 1));
}

#[test]
fn a_tree_of_3000_levels_is_walked_with_few_descriptors() {
    let step = |number: usize| {
        let above = if number == 0 { String::new() } else { format!("l{}/", number - 1) };
        let down = "d/".repeat(1000);
        Tar::of([file(format!("{above}{down}f"), "x"), symlink(format!("l{number}"), format!("{above}{down}"))])
    };
    let both = Both::of(&(0..3).map(step).collect::<Vec<_>>());
    let entries = walked(&both.memory);
    assert_eq!(entries.len(), 1 + 3000 + 3 + 3);
    assert_eq!(entries.iter().map(|entry| entry.path.len()).max(), Some(2 * 3000 + 1));
}

#[test]
fn a_socket_is_visited_and_no_link_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();
    let entries = walked(&Root::open(folder.path()).unwrap());
    let kinds: Vec<_> = entries.iter().map(|entry| &entry.kind).collect();
    assert_eq!(kinds, [&NodeKind::Directory, &NodeKind::Symlink { target: b"/".to_vec() }, &NodeKind::Socket]);
}

#[test]
fn the_first_error_of_the_visitor_ends_the_walk() {
    let both = Both::of(&[Tar::of([dir("a"), file("a/b", ""), file("c", "")])]);
    let roots: [&dyn Walk; 2] = [&both.mounted, &both.memory];
    for root in roots {
        let mut visited = 0;
        let error = root.walk(&mut |node| {
            visited += 1;
            if node.path == b"a/b" { Err(flipslot::error::failed("enough", "")) } else { Ok(()) }
        });
        assert_eq!((format!("{:#}", error.unwrap_err()).as_str(), visited), ("enough", 3));
    }
}

#[test]
fn content_that_was_not_retained_is_an_error_and_its_size_is_known() {
    let mut tree = MemoryTree::retaining(|_, _| Retain::Head(2));
    super::write(&[Tar::of([file("long", "0123"), file("short", "01")])], &mut tree);
    let mut opened = Vec::new();
    tree.walk(&mut |node| {
        let text = node.open().map(|_| String::new()).unwrap_or_else(|error| format!("{error:#}"));
        opened.push((node.kind.clone(), text));
        Ok(())
    })
    .unwrap();
    assert_eq!(opened[1].0, NodeKind::File { size: 4 });
    assert!(opened[1].1.contains("of the 4B of /long in the image, only 2B were kept"), "{}", opened[1].1);
    assert_eq!(opened[2], (NodeKind::File { size: 2 }, String::new()));
}

#[test]
fn a_directory_that_is_deeper_than_a_path_is_edited_from_where_a_link_leads() {
    let folder = tempfile::tempdir().unwrap();
    let mut here = rustix::fs::open(folder.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..3000 {
        mkdirat(&here, "d", Mode::RWXU).unwrap();
        here = openat(&here, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let root = Root::open(folder.path()).unwrap();
    assert_eq!(walked(&root).len(), 3001);
    let mut root = root;
    root.put_symlink(&path("l"), "d/".repeat(2000).as_bytes()).unwrap();
    root.put_file(&path(format!("l/{}f", "d/".repeat(1000))), &Meta::default(), &mut &b"x"[..]).unwrap();
    assert_eq!(walked(&root).len(), 3003);
    fs::remove_file(folder.path().join("l")).unwrap();
}
