//! Whiteouts: they remove what lower layers put into the slot, and nothing else.

use super::{Sandbox, sandbox, with_both_resolvers};
use crate::support::tar::{Item, Tar, dir, file, opaque, symlink, whiteout};
use std::os::unix::ffi::OsStrExt;

fn names(slot: &Sandbox, layers: Vec<Vec<Item>>) -> Vec<String> {
    let layers: Vec<Vec<u8>> = layers.into_iter().map(Tar::of).collect();
    slot.tree_of(&layers).names()
}

#[test]
fn a17_a18_whiteouts_of_dot_dotdot_and_nothing_are_refused_and_remove_nothing() {
    with_both_resolvers(|slot| {
        slot.apply(&[Tar::of([dir("etc"), file("etc/kept", "")])]).unwrap();
        for name in [".wh..", ".wh...", "etc/.wh..", "etc/.wh...", ".wh.", "etc/.wh.", "etc/.wh..wh.plnk"] {
            for entry in [file(name, ""), dir(name), symlink(name, "x")] {
                let text = slot.refusal_of(&[Tar::of([entry])]);
                assert!(text.contains("whiteout"), "{text}");
            }
            assert_eq!(slot.tree().names(), ["etc", "etc/kept"], "{name}");
        }
    });
}

#[test]
fn a19_a_whiteout_of_a_link_removes_the_link_and_not_its_target() {
    with_both_resolvers(|slot| {
        let victim = slot.victim();
        let lower =
            vec![dir("usr"), file("usr/kept", ""), symlink("in", "usr"), symlink("out", victim.as_os_str().as_bytes())];
        assert_eq!(names(slot, vec![lower, vec![whiteout("in"), whiteout("out")]]), ["usr", "usr/kept"]);
    });
}

#[test]
fn a19_a_whiteout_through_a_link_removes_inside_the_slot() {
    with_both_resolvers(|slot| {
        let lower = vec![
            dir("usr"),
            file("usr/gone", ""),
            file("usr/kept", ""),
            dir("victim"),
            file("victim/hello", ""),
            symlink("lib", "/usr"),
            symlink("esc", "../victim"),
        ];
        let upper = vec![whiteout("lib/gone"), whiteout("esc/hello")];
        assert_eq!(names(slot, vec![lower, upper]), ["esc", "lib", "usr", "usr/kept", "victim"]);
    });
}

#[test]
fn a19_an_opaque_whiteout_through_a_link_empties_inside_the_slot() {
    with_both_resolvers(|slot| {
        let lower = vec![
            dir("victim"),
            file("victim/hello", ""),
            symlink("esc", "../../victim"),
            symlink("dead", "/root-evil"),
        ];
        let upper = vec![opaque("esc"), opaque("dead")];
        assert_eq!(names(slot, vec![lower, upper]), ["dead", "esc", "victim"]);
    });
}

#[test]
fn a19_only_a_last_name_is_a_whiteout() {
    with_both_resolvers(|slot| {
        let lower = vec![dir("etc"), file("etc/kept", "")];
        let upper = vec![file(".wh.etc/somefile", "")];
        assert_eq!(names(slot, vec![lower, upper]), [".wh.etc", ".wh.etc/somefile", "etc", "etc/kept"]);
    });
    let slot = sandbox();
    let as_directory = vec![vec![dir("etc"), file("etc/gone", "")], vec![dir(".wh.etc")]];
    assert!(names(&slot, as_directory).is_empty(), "a whiteout counts whatever the type of its entry");
}

#[test]
fn a20_an_opaque_directory_keeps_what_its_own_layer_put_there_in_either_order() {
    let lower = || vec![dir("d"), file("d/old", ""), dir("d/sub"), file("d/sub/old", ""), file("d/both", "old")];
    let new = || vec![dir("d"), file("d/new", ""), dir("d/sub"), file("d/sub/new", ""), file("d/both", "new")];
    with_both_resolvers(|slot| {
        let before = [vec![opaque("d")], new()].concat();
        assert_eq!(names(slot, vec![lower(), before]), ["d", "d/both", "d/new", "d/sub", "d/sub/new"]);
        assert_eq!(slot.read("d/both"), "new");
    });
    with_both_resolvers(|slot| {
        let after = [new(), vec![opaque("d")]].concat();
        assert_eq!(names(slot, vec![lower(), after]), ["d", "d/both", "d/new", "d/sub", "d/sub/new"]);
        assert_eq!(slot.read("d/both"), "new");
    });
}

#[test]
fn a20_what_one_layer_removes_and_makes_stands_in_either_order() {
    for order in [vec![whiteout("x"), file("x", "new")], vec![file("x", "new"), whiteout("x")]] {
        with_both_resolvers(|slot| {
            assert_eq!(names(slot, vec![vec![file("x", "old")], order.clone()]), ["x"]);
            assert_eq!(slot.read("x"), "new");
        });
    }
}

#[test]
fn a20_a_directory_removed_after_its_layer_wrote_into_it_keeps_only_that() {
    with_both_resolvers(|slot| {
        let lower = vec![dir("d"), file("d/old", ""), dir("d/sub"), file("d/sub/old", "")];
        let upper = vec![file("d/sub/new", ""), whiteout("d")];
        assert_eq!(names(slot, vec![lower, upper]), ["d", "d/sub", "d/sub/new"]);
    });
}

#[test]
fn a20_removing_by_whiteout_leaves_the_time_of_a_directory_that_an_entry_described() {
    let lower = || vec![dir("d"), dir("d/sub").mtime(100, 0), file("d/sub/old", "")];
    for removal in [opaque("d"), whiteout("d"), opaque("d/sub"), whiteout("d/sub/old")] {
        let slot = sandbox();
        let upper = vec![dir("d").mtime(200, 7), dir("d/sub").mtime(300, 8), removal];
        let tree = slot.tree_of(&[Tar::of(lower()), Tar::of(upper)]);
        assert_eq!(tree.names(), ["d", "d/sub"]);
        assert_eq!((tree.at("d").mtime, tree.at("d/sub").mtime), ((200, 7), (300, 8)));
    }
}

#[test]
fn a20_a_whiteout_of_nothing_is_no_error_and_makes_nothing() {
    with_both_resolvers(|slot| {
        let upper =
            vec![whiteout("missing"), whiteout("no/such/file"), opaque("no/such/directory"), whiteout("kept/below")];
        assert_eq!(names(slot, vec![vec![file("kept", "")], upper]), ["kept"]);
    });
}

#[test]
fn a20_a_whiteout_spares_nothing_of_the_layer_before() {
    with_both_resolvers(|slot| {
        let layers = vec![
            vec![file("x", "1")],
            vec![file("x", "2"), dir("d"), file("d/x", "")],
            vec![whiteout("x"), whiteout("d")],
        ];
        assert!(names(slot, layers).is_empty());
    });
}

#[test]
fn a21_whiteouts_in_the_lowest_layer_are_passed_over() {
    with_both_resolvers(|slot| {
        let layer = vec![whiteout("x"), opaque("."), dir("d"), opaque("d"), file("d/new", ""), whiteout("d/old")];
        assert_eq!(names(slot, vec![layer]), ["d", "d/new"]);
    });
}

#[test]
fn a21_whiteouts_below_a_dangling_link_are_passed_over() {
    with_both_resolvers(|slot| {
        let victim = slot.victim();
        let layer = vec![
            symlink("dead", victim.as_os_str().as_bytes()),
            whiteout("dead/hello"),
            opaque("dead"),
            whiteout("dead/inner/file"),
        ];
        assert_eq!(names(slot, vec![layer]), ["dead"]);
    });
}
