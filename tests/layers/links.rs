//! Links: an archive may hold any, and they lead nowhere but into the slot.

use super::{Sandbox, with_both_resolvers};
use crate::support::tar::{Item, Tar, dir, file, hardlink, symlink, whiteout};
use flipslot::root::mounted::directory::Resolver;
use flipslot::root::tree::Tree;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[test]
fn a4_a_symlink_to_an_absolute_directory_is_followed_inside_the_slot() {
    with_both_resolvers(|slot| {
        let victim = slot.victim();
        let inside = victim.strip_prefix("/").unwrap();
        let layer = Tar::of([
            dir("etc"),
            symlink("a", "/etc"),
            file("a/unbroken", "mine"),
            dir(bytes(inside)),
            symlink("b", bytes(&victim)),
            file("b/hello", "mine too"),
        ]);
        let tree = slot.tree_of(&[layer]);
        assert_eq!((tree.at("a").kind, slot.read("etc/unbroken").as_str()), ('l', "mine"));
        assert_eq!(slot.read(inside.join("hello")), "mine too");
    });
}

#[test]
fn a4_a_link_to_a_directory_that_the_slot_lacks_gets_one_inside_the_slot() {
    with_both_resolvers(|slot| {
        let victim = slot.victim();
        let tree = slot.tree_of(&[Tar::of([symlink("a", bytes(&victim)), file("a/planted", "mine")])]);
        assert!(tree.has(bytes(victim.join("planted").strip_prefix("/").unwrap())), "{:?}", tree.names());
    });
}

#[test]
fn a5_a_relative_symlink_out_of_the_slot_ends_at_its_root() {
    with_both_resolvers(|slot| {
        let layer = Tar::of([
            dir("etc"),
            dir("victim"),
            symlink("a", "../../../../etc"),
            file("a/unbroken", "mine"),
            symlink("b", "../victim"),
            file("b/hello", "mine too"),
            symlink("c", "../../../.."),
            file("c/at-the-root", "mine"),
        ]);
        let tree = slot.tree_of(&[layer]);
        assert_eq!(slot.read("etc/unbroken"), "mine");
        assert_eq!(slot.read("victim/hello"), "mine too");
        assert!(tree.has("at-the-root"));
    });
}

#[test]
fn a6_a_chain_of_links_that_climbs_step_by_step_stays_inside() {
    let chain = |with: Vec<Item>| {
        let climb = [dir("inner"), symlink("inner/go_up", ".."), symlink("inner/go_up/escape", "../victim")];
        Tar::of(climb.into_iter().chain(with).chain([file("inner/go_up/escape/hello", "mine")]))
    };
    with_both_resolvers(|slot| {
        let tree = slot.tree_of(&[chain(vec![dir("victim")])]);
        assert_eq!(tree.names(), ["escape", "inner", "inner/go_up", "victim", "victim/hello"]);
        assert_eq!(slot.read("victim/hello"), "mine");
    });
    with_both_resolvers(|slot| {
        let tree = slot.tree_of(&[chain(vec![])]);
        assert_eq!(tree.names(), ["escape", "inner", "inner/go_up", "victim", "victim/hello"]);
    });
}

#[test]
fn a8_a_loop_of_links_is_refused() {
    with_both_resolvers(|slot| {
        for through in ["a/x", "self/x"] {
            let layer =
                Tar::of([symlink("a", "b"), symlink("b", "a"), symlink("self", "self/self"), file(through, "")]);
            let text = slot.refusal_of(&[layer]);
            assert!(text.contains("loop of symbolic links"), "{text}");
        }
    });
}

#[test]
fn a8_forty_links_are_followed_and_forty_one_are_not() {
    let chain = |links: usize| {
        let steps = (0..links).map(|step| symlink(format!("l{step}"), format!("l{}", step + 1)));
        Tar::of(steps.chain([dir(format!("l{links}")), file("l0/x", "far")]))
    };
    with_both_resolvers(|slot| {
        slot.apply(&[chain(40)]).unwrap();
        assert_eq!(slot.read("l40/x"), "far");
    });
    with_both_resolvers(|slot| {
        assert!(slot.refusal_of(&[chain(41)]).contains("more than 40"));
        assert!(!slot.tree().has("l41/x"));
    });
}

#[test]
fn paths_that_lead_further_than_those_of_any_image_are_refused() {
    // Each link leads through 2000 components, and each entry through 39 links to a directory of its own.
    let detour = "./d/../".repeat(500);
    let mut layer = Tar::default().add(dir("d")).add(dir("end"));
    for step in 0..39 {
        let next = if step == 38 { "end".to_owned() } else { format!("l{}", step + 1) };
        layer = layer.add(symlink(format!("l{step}"), format!("{detour}{next}")));
    }
    let entries = |count: usize| (0..count).fold(Tar::default(), |tar, n| tar.add(file(format!("l0/e{n}/x"), "")));
    let slot = Sandbox::new(Resolver::Openat2);
    let refusal = slot.refusal_of(&[layer.finish(), entries(100).finish()]);
    assert!(refusal.contains("more links than those of any image"), "{refusal}");
    // 39 links with 1000 steps each: 2²¹ of them are spent in 54 entries.
    let made = (0..100).filter(|n| slot.tree().has(format!("end/e{n}"))).count();
    assert!((20..80).contains(&made), "{made} entries");
}

#[test]
fn a9_a_link_whose_real_path_is_longer_than_linux_takes_stays_inside() {
    with_both_resolvers(|slot| {
        let long = "d".repeat(247);
        let mut layer = Tar::default().add(dir("victim"));
        let mut short = String::new();
        for _ in 0..20 {
            layer = layer.add(dir(format!("{short}{long}"))).add(symlink(format!("{short}s"), &long));
            short.push_str("s/");
        }
        let up = "../".repeat(21);
        layer = layer.add(symlink(format!("{short}out"), format!("{up}victim")));
        // From the 20th directory the next `..` after 20 would be the root's own parent.
        layer = layer.add(file(format!("{short}out/hello"), "mine")).add(file(format!("{short}deep"), "deep"));
        slot.apply(&[layer.finish()]).unwrap();
        assert_eq!(slot.read("victim/hello"), "mine");
        assert_eq!(slot.sink().root().read(&format!("{short}deep"), 10).unwrap().as_deref(), Some("deep"));
    });
}

#[test]
fn a10_a_directory_entry_replaces_a_link_and_leaves_its_target_alone() {
    with_both_resolvers(|slot| {
        for name in ["d", "d/", "d/.", "./d/./"] {
            let victim = slot.victim();
            let tree = slot.tree_of(&[Tar::of([symlink("d", bytes(&victim)), dir(name).mode(0o777).owner(1, 1)])]);
            assert_eq!((tree.at("d").kind, tree.at("d").mode), ('d', 0o777), "{name}");
            slot.apply(&[Tar::of([whiteout("d")])]).unwrap();
        }
    });
}

#[test]
fn a11_a_directory_entry_over_a_link_to_a_directory_becomes_a_directory_of_its_own() {
    with_both_resolvers(|slot| {
        let lower =
            Tar::of([dir("usr"), dir("usr/lib").mode(0o700), file("usr/lib/kept", ""), symlink("lib", "usr/lib")]);
        let tree = slot.tree_of(&[lower, Tar::of([dir("lib"), file("lib/new", "")])]);
        assert_eq!(tree.names(), ["lib", "lib/new", "usr", "usr/lib", "usr/lib/kept"]);
        assert_eq!((tree.at("lib").kind, tree.at("usr/lib").mode), ('d', 0o700));
    });
}

#[test]
fn a12_a_file_replaces_a_full_directory_and_a_directory_a_file() {
    with_both_resolvers(|slot| {
        let lower = Tar::of([
            dir("full"),
            dir("full/sub"),
            file("full/sub/x", ""),
            symlink("full/out", bytes(&slot.victim())),
            file("flat", ""),
        ]);
        let tree = slot.tree_of(&[lower, Tar::of([file("full", "now a file"), dir("flat"), file("flat/inside", "")])]);
        assert_eq!(tree.names(), ["flat", "flat/inside", "full"]);
        assert_eq!(slot.read("full"), "now a file");
    });
}

#[test]
fn a12_a_path_through_a_file_is_refused_and_the_file_kept() {
    with_both_resolvers(|slot| {
        let text = slot.refusal_of(&[Tar::of([file("nondir", "whole")]), Tar::of([file("nondir/foo/bar", "")])]);
        assert!(text.contains("writing /nondir/foo/bar"), "{text}");
        assert_eq!((slot.tree().names(), slot.read("nondir")), (vec!["nondir".to_owned()], "whole".to_owned()));
    });
}

#[test]
fn a13_a_hard_link_to_a_file_outside_is_refused() {
    with_both_resolvers(|slot| {
        let absolute = slot.victim().join("hello");
        for target in [
            &b"../victim/hello"[..],
            b"/../victim/hello",
            b"/etc/shadow",
            b"../x",
            bytes(&absolute),
            b"esc/hello",
            b"abs/hello",
        ] {
            let links = [symlink("esc", "../victim"), symlink("abs", bytes(&slot.victim()))];
            let text = slot.refusal_of(&[Tar::of(links.into_iter().chain([hardlink("link", target)]))]);
            assert!(text.contains("making a hard link to"), "{text}");
            assert_eq!(slot.tree().names(), ["abs", "esc"], "{}", target.escape_ascii());
        }
    });
}

#[test]
fn a13_a_hard_links_target_is_a_path_of_the_slot() {
    with_both_resolvers(|slot| {
        let layer = Tar::of([
            dir("victim"),
            file("victim/hello", "mine"),
            symlink("esc", "../victim"),
            hardlink("one", "../victim/hello"),
            hardlink("two", "/../victim/hello"),
            hardlink("three", "esc/hello"),
        ]);
        let tree = slot.tree_of(&[layer]);
        for name in ["one", "two", "three", "victim/hello"] {
            assert_eq!(tree.at(name).first_name, b"one", "{name}");
        }
        assert_eq!(slot.read("three"), "mine");
    });
}

#[test]
fn a14_a_hard_link_follows_the_targets_directories_but_not_its_last_name() {
    with_both_resolvers(|slot| {
        let lower = Tar::of([dir("usr"), dir("usr/lib"), file("usr/lib/so", "so"), symlink("lib", "usr/lib")]);
        let upper = Tar::of([
            hardlink("lib/second", "lib/so"),
            symlink("out", slot.victim().join("hello").as_os_str().as_bytes()),
            hardlink("same-link", "out"),
        ]);
        let tree = slot.tree_of(&[lower, upper]);
        assert_eq!(tree.at("usr/lib/so").first_name, b"usr/lib/second");
        assert_eq!((tree.at("same-link").kind, &tree.at("same-link").first_name[..]), ('l', &b"out"[..]));
    });
}

#[test]
fn a14_a_hard_link_to_what_comes_later_is_refused() {
    with_both_resolvers(|slot| {
        let text = slot.refusal_of(&[Tar::of([hardlink("early", "late"), file("late", "")])]);
        assert!(text.contains("writing /early: making a hard link to /late"), "{text}");
        assert!(slot.tree().names().is_empty());
    });
}

#[test]
fn a15_metadata_for_a_hard_link_to_a_link_never_reaches_what_it_points_to() {
    with_both_resolvers(|slot| {
        let target = slot.victim().join("hello");
        let links = || [symlink("inside", bytes(&target)), hardlink("second", "inside")];
        let again = file("second", "new").mode(0o6666).owner(5, 5).xattr("user.mark", "1");
        let tree = slot.tree_of(&[Tar::of(links().into_iter().chain([again]))]);
        assert_eq!((tree.at("inside").kind, tree.at("second").kind), ('l', 'f'));
        let with_metadata = symlink("third", bytes(&target)).owner(7, 7).mtime(5, 5).xattr("trusted.mark", "1");
        let tree = slot.tree_of(&[Tar::of(links().into_iter().chain([with_metadata, hardlink("fourth", "third")]))]);
        assert_eq!((tree.at("third").uid, tree.at("fourth").mtime, tree.at("fourth").kind), (7, (5, 5), 'l'));
    });
}

#[test]
fn a15_a_changed_name_of_a_hard_link_leaves_the_other_names_as_they_were() {
    with_both_resolvers(|slot| {
        let lower = Tar::of([file("one", "lower").mode(0o600), hardlink("two", "one")]);
        let tree = slot.tree_of(&[lower, Tar::of([file("two", "upper").mode(0o4755).owner(9, 9)])]);
        assert_eq!((tree.at("one").mode, tree.at("one").uid, slot.read("one").as_str()), (0o600, 0, "lower"));
        assert_eq!(tree.at("two").mode, 0o4755);
    });
}

#[test]
fn a16_a_folder_whose_name_begins_like_the_root_is_outside_too() {
    with_both_resolvers(|slot| {
        slot.refusal_of(&[Tar::of([hardlink("link", "../root-evil/secret")])]);
        let evil = fs::canonicalize(slot.root()).unwrap().with_file_name("root-evil");
        for target in [&b"../root-evil"[..], bytes(&evil)] {
            slot.refusal_of(&[Tar::of([symlink("s", target), hardlink("link", "s/secret")])]);
        }
        assert_eq!(slot.tree().names(), ["s"]);
        slot.tree_of(&[Tar::of([symlink("s", "../root-evil"), file("s/planted", "")])]);
        assert_eq!(slot.tree().names(), ["root-evil", "root-evil/planted", "s"]);
    });
}

#[test]
fn a_link_on_the_way_that_is_replaced_leads_the_next_entry_nowhere_else() {
    with_both_resolvers(|slot| {
        let layers = [
            Tar::of([symlink("c", "..")]),
            // The first goes to the root, through the link; the second replaces the link itself.
            Tar::of([file("c/one", "1"), file("c/c", "no link any more")]),
            Tar::of([
                file("c", "a file"),
                symlink("d", ".."),
                file("d/two", "2"),
                whiteout("d/d"),
                dir("d"),
                file("d/x", "3"),
            ]),
        ];
        let tree = slot.tree_of(&layers);
        assert_eq!((tree.at("c").kind, slot.read("one").as_str()), ('f', "1"));
        assert!(tree.has("d/x") && !tree.has("x"), "{:?}", tree.names());
    });
    with_both_resolvers(|slot| {
        let tree = slot.tree_of(&[Tar::of([symlink("c", ".."), dir("c/c"), file("c/two", "2")])]);
        assert!(tree.has("c/two") && !tree.has("two"), "{:?}", tree.names());
    });
}
