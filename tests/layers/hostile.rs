//! Hostile archives: every odd name with every type of entry and every odd header. Whatever an archive does, nothing
//! beside the root changes, both roots do the same, and it ends in an error or in a tree that lies inside.

use super::Sandbox;
use crate::support::tar::{Item, Tar, block, character, dir, fifo, file, hardlink, odd, symlink};
use flipslot::root::mounted::directory::Resolver;

/// Names that lead out, in circles, nowhere, or further than Linux goes.
fn names() -> Vec<Vec<u8>> {
    let text = [
        "../victim/hello",
        "/../../victim/hello",
        "/etc/passwd",
        "a/../../root-evil/secret",
        "up/victim/hello",
        "abs/tmp/x",
        "loop/x",
        "file/x",
        "file/../../x",
        "a//b/./c/",
        "./",
        "..",
        "",
        ".wh.file",
        ".wh..",
        ".wh...",
        ".wh..wh..opq",
        "up/.wh.victim",
        "abs/.wh..wh..opq",
        "a/.wh.b",
        "new\nline",
        "\u{1b}[2J",
        "proc/self/root/x",
        "dangling/x",
    ];
    let bytes: [Vec<u8>; 4] = [b"\xff\xfe".to_vec(), b"a\0b".to_vec(), vec![b'x'; 300], b"d/".repeat(2100)];
    text.map(|name| name.as_bytes().to_vec()).into_iter().chain(bytes).collect()
}

/// Entries of every type.
fn entries(name: &[u8]) -> Vec<Item> {
    vec![
        file(name, "planted"),
        dir(name).mode(0),
        symlink(name, "../../.."),
        hardlink(name, "../victim/hello"),
        hardlink(name, "abs/etc/shadow"),
        character(name, 1, 3),
        block(name, 8, 0),
        fifo(name),
        odd(b'Z', name, "body"),
        odd(b'5', name, "a directory with a body"),
    ]
}

/// A change to a header.
type Change = fn(Item) -> Item;

const CHANGES: [Change; 4] = [
    |item| item,
    |item| item.mode(0o7777).owner(0xffff_ffff, 0xffff_ffff).mtime(i64::MAX / 2, 0),
    |item| item.claiming(1 << 62),
    |item| item.record("path", "../victim/by-pax").record("size", "7"),
];

#[test]
fn a_thousand_hostile_archives_reach_nothing_beside_the_root() {
    let base = || {
        let links = [symlink("up", ".."), symlink("abs", "/"), symlink("loop", "loop"), symlink("dangling", "no/such")];
        Tar::of([dir("a"), file("file", "mine")].into_iter().chain(links))
    };
    let mut count = 0;
    let mut refused = 0;
    for name in names() {
        for change in CHANGES {
            // One sandbox for a row of entries, as long as none is refused.
            let mut slot = Sandbox::new(Resolver::Openat2);
            slot.apply(&[base()]).unwrap();
            for item in entries(&name) {
                count += 1;
                if slot.apply(&[Tar::of([change(item)])]).is_err() {
                    refused += 1;
                    slot = Sandbox::new(if count % 2 == 0 { Resolver::Openat2 } else { Resolver::Walk });
                    slot.apply(&[base()]).unwrap();
                }
            }
        }
    }
    assert_eq!(count, 28 * 10 * 4);
    assert!(refused > count / 3, "{refused} of {count} were refused");
}
