//! Names: an entry's name can only mean a place inside the slot.

use super::{sandbox, with_both_resolvers};
use crate::support::tar::{LongNames, Tar, character, dir, fifo, file, hardlink, odd, symlink};
use flipslot::root::tree::Tree;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

#[test]
fn a1_parent_components_stop_at_the_root_of_the_slot() {
    with_both_resolvers(|slot| {
        let tree = slot.tree_of(&[Tar::of([
            file("../../etc/shadow", "mine"),
            file("../victim/hello", "mine"),
            file("../x", "mine"),
        ])]);
        assert_eq!(tree.names(), ["etc", "etc/shadow", "victim", "victim/hello", "x"]);
        assert_eq!(slot.read("etc/shadow"), "mine");
    });
}

#[test]
fn a2_absolute_names_are_relative_to_the_root_of_the_slot() {
    with_both_resolvers(|slot| {
        let victim = slot.victim().join("hello");
        let layer = Tar::of([
            file("/../x", "one"),
            file("/./.././../y", "two"),
            file("/etc/x", "three"),
            file(victim.as_os_str().as_bytes(), "four"),
        ]);
        let tree = slot.tree_of(&[layer]);
        assert!(tree.has("x") && tree.has("y") && tree.has("etc/x"));
        assert_eq!(slot.read(victim.strip_prefix("/").unwrap()), "four");
    });
}

#[test]
fn a3_a_name_of_the_root_sets_its_metadata_and_keeps_what_is_in_it() {
    for name in ["./", ".", "/", "./."] {
        let slot = sandbox();
        let tree =
            slot.tree_of(&[Tar::of([file("kept", "")]), Tar::of([dir(name).mode(0o711).owner(3, 4).mtime(77, 0)])]);
        let root = tree.at("");
        assert_eq!((root.mode, root.uid, root.gid, root.mtime), (0o711, 3, 4, (77, 0)), "{name}");
        assert_eq!(tree.names(), ["kept"], "{name}");
    }
}

#[test]
fn a3_bare_parents_and_empty_names_are_refused() {
    for name in ["..", "../", "a/..", "/..", ""] {
        for entry in [dir(name).mode(0o777), file(name, "mine"), symlink(name, "a"), fifo(name)] {
            let slot = sandbox();
            let text = slot.refusal_of(&[Tar::of([dir("a"), entry])]);
            assert!(text.contains("is empty") || text.contains("names a parent"), "{name}: {text}");
            assert_eq!(slot.tree().names(), ["a"]);
        }
    }
}

#[test]
fn a7_nothing_replaces_the_root_directory() {
    with_both_resolvers(|slot| {
        let before = slot.tree();
        for name in ["/.", ".", "./", "/", "", ".."] {
            for entry in [
                symlink(name, slot.victim().as_os_str().as_bytes()),
                hardlink(name, "a"),
                character(name, 1, 3),
                file(name.trim_end_matches('/'), ""),
            ] {
                slot.refusal_of(&[Tar::of([entry])]);
            }
        }
        assert_eq!(slot.tree().difference(&before), "");
    });
}

#[test]
fn a25_legal_names_keep_their_bytes() {
    let component = "n".repeat(255);
    let names: [&[u8]; 5] =
        [b"new\nline", b"\xff\xfe.txt", b"\x1b[31mred", component.as_bytes(), "uml\u{e4}ut".as_bytes()];
    for how in [LongNames::Pax, LongNames::Gnu] {
        let slot = sandbox();
        let tree = slot.tree_of(&[Tar::of(names.map(|name| file(name, name).long_names(how)))]);
        assert_eq!(tree.0.len(), 1 + names.len());
        for name in names {
            assert_eq!(fs::read(slot.root().join(OsStr::from_bytes(name))).unwrap(), name);
        }
    }
}

#[test]
fn a25_names_that_linux_does_not_take_are_refused_with_nothing_odd_in_the_message() {
    let long = |length: usize| "a/".repeat(length / 2).into_bytes();
    let names: [Vec<u8>; 5] = [
        long(4098),
        long(60_000),
        vec![b'a'; 256],
        [vec![b'\x1b'; 256], vec![b'/', b'a']].concat(),
        b"nul\0l".to_vec(),
    ];
    for name in names {
        let slot = sandbox();
        let by_record = slot.refusal_of(&[Tar::of([file("short", "").record("path", &name)])]);
        assert!(!by_record.contains(|c: char| c.is_control() || !c.is_ascii()), "{by_record}");
        assert!(slot.tree().names().is_empty());
    }
}

#[test]
fn a25_a_path_of_4095_bytes_is_written() {
    with_both_resolvers(|slot| {
        let deep = ["d".repeat(255).as_str(); 16].join("/");
        assert_eq!(deep.len(), 4095);
        slot.apply(&[Tar::of([file(&deep, "at the end")])]).unwrap();
        let (folder, name) = deep.rsplit_once('/').unwrap();
        // Its path from / is longer than Linux takes, so it is reached in two steps.
        let up = rustix::fs::open(slot.root().join(folder), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty());
        let up = up.unwrap();
        let stat = rustix::fs::statat(&up, name, rustix::fs::AtFlags::empty()).unwrap();
        assert_eq!(stat.st_size, 10);
    });
}

#[test]
fn a26_of_entries_with_one_name_the_last_stays() {
    with_both_resolvers(|slot| {
        let layer = Tar::of([
            file("same", "first"),
            file("same", "second").mode(0o600),
            dir("turns"),
            file("turns/inside", ""),
            symlink("turns", "same"),
            file("turns", "a file at last"),
            fifo("pipe"),
            dir("pipe").mode(0o700),
            file("pipe/inside", "in"),
        ]);
        let tree = slot.tree_of(&[layer]);
        assert_eq!(tree.names(), ["pipe", "pipe/inside", "same", "turns"]);
        assert_eq!((slot.read("same").as_str(), tree.at("same").mode), ("second", 0o600));
        assert_eq!(slot.read("turns"), "a file at last");
        assert_eq!(tree.at("pipe").kind, 'd');
    });
}

#[test]
fn a35_a_path_of_100_000_directories_is_refused() {
    let slot = sandbox();
    let name = "a/".repeat(100_000);
    for layer in [Tar::of([dir("x").record("path", &name)]), Tar::of([odd(b'L', "long", &name), dir("x")])] {
        assert!(slot.refusal_of(&[layer]).contains("longer than Linux accepts"));
        assert!(slot.tree().names().is_empty());
    }
}

#[test]
fn a35_a_tree_deeper_than_a_path_can_say_is_made_through_links_and_removed() {
    with_both_resolvers(|slot| {
        let deep = "directory-/".repeat(300);
        let mut layer = Tar::default().add(dir("top"));
        for step in 0..4 {
            let from = if step == 0 { "top".to_owned() } else { format!("link{}", step - 1) };
            layer =
                layer.add(dir(format!("{from}/{deep}"))).add(symlink(format!("link{step}"), format!("{from}/{deep}")));
        }
        slot.apply(&[layer.add(file("link3/bottom", "deep")).finish()]).unwrap();
        let root = slot.sink();
        assert_eq!(root.root().read("link3/bottom", 10).unwrap().as_deref(), Some("deep"));
        let tree = slot.tree_of(&[Tar::of([file(".wh.top", "")])]);
        assert_eq!(tree.names(), ["link0", "link1", "link2", "link3"]);
    });
}

#[test]
fn a39_entries_below_proc_sys_dev_and_run_are_the_slots_own() {
    with_both_resolvers(|slot| {
        let names = ["proc/version", "sys/kernel/x", "dev/null", "run/lock"];
        let tree = slot.tree_of(&[Tar::of(names.map(|name| file(name, name)))]);
        for name in names {
            assert_eq!((tree.at(name).kind, slot.read(name).as_str()), ('f', name));
        }
    });
}
