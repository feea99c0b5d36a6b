//! Edits: what they put, what they replace, and what they leave as it was.

use super::{Both, path};
use crate::support::tar::{Tar, dir, fifo, file, hardlink, symlink};
use flipslot::layer::entry::{Meta, Time};
use flipslot::root::edit::Edit;
use flipslot::root::tree::{Last, What};
use std::io::{self, Read};

/// Metadata that differs from any default.
fn odd_meta() -> Meta {
    let xattrs = vec![(b"user.mark".to_vec(), b"\0x\n".to_vec())];
    let mtime = Time { seconds: -5, nanoseconds: 999_999_999 };
    Meta { mode: 0o4751, uid: 7, gid: 3_000_000_000, mtime, xattrs }
}

/// A root with a node of each kind, in directories with times of their own.
fn sample() -> Both {
    Both::of(&[Tar::of([
        dir("./").mtime(11, 12),
        dir("etc").mtime(1_000_000_000, 123),
        file("etc/old", "old").mode(0o640).owner(1, 2).mtime(99, 1).xattr("user.x", "y"),
        hardlink("etc/second", "etc/old"),
        symlink("etc/link", "old"),
        symlink("etc/dangling", "../made/by/link"),
        fifo("etc/fifo"),
        dir("etc/full").mtime(5, 5),
        file("etc/full/f", ""),
        symlink("abs", "/etc"),
        symlink("loop", "loop"),
    ])])
}

fn time_of(both: &Both, folder: &str) -> (i64, u32) {
    let Time { seconds, nanoseconds } = both.ask(|root| root.meta(&path(folder)).unwrap().unwrap().mtime);
    (seconds, nanoseconds)
}

#[test]
fn a_file_gets_all_of_its_metadata_and_its_directory_keeps_its_time() {
    let mut both = sample();
    let meta = odd_meta();
    for name in ["etc/new", "etc/old", "etc/link", "etc/fifo", "abs/through-link", "top"] {
        both.edit(|root| root.put_file(&path(name), &meta, &mut &b"new content"[..])).unwrap();
        assert_eq!(both.ask(|root| root.meta(&path(name)).unwrap()), Some(meta.clone()), "{name}");
        assert_eq!(both.ask(|root| root.read(name, 100).unwrap()).as_deref(), Some("new content"), "{name}");
    }
    assert_eq!((time_of(&both, "etc"), time_of(&both, ".")), ((1_000_000_000, 123), (11, 12)));
    assert_eq!(both.ask(|root| root.read("etc/second", 100).unwrap()).as_deref(), Some("old"), "the other name");
    assert_eq!(both.ask(|root| root.list("etc").unwrap().len()), 8);
}

#[test]
fn links_are_put_in_place_of_anything_but_a_directory() {
    let mut both = sample();
    for name in ["etc/new", "etc/old", "etc/link", "etc/dangling", "etc/fifo"] {
        both.edit(|root| root.put_symlink(&path(name), b"/some\xffwhere")).unwrap();
        let found = both.ask(|root| root.look(name, Last::NoFollow).unwrap().unwrap());
        assert_eq!(found.what, What::Symlink { target: b"/some\xffwhere".to_vec() }, "{name}");
    }
    assert_eq!(time_of(&both, "etc"), (1_000_000_000, 123));
    for odd in [vec![], vec![b'x'; 4096]] {
        assert!(both.edit(|root| root.put_symlink(&path("etc/odd"), &odd)).is_err(), "{} bytes", odd.len());
    }
}

#[test]
fn missing_directories_are_made_behind_links_too_and_those_around_keep_their_time() {
    let mut both = sample();
    both.edit(|root| root.put_file(&path("etc/dangling/deep/f"), &Meta::default(), &mut &b"x"[..])).unwrap();
    assert_eq!(both.ask(|root| root.read("made/by/link/deep/f", 10).unwrap()).as_deref(), Some("x"));
    let meta = both.ask(|root| root.meta(&path("made/by")).unwrap().unwrap());
    assert_eq!(meta, Meta { mode: 0o755, ..Meta::default() });
    both.edit(|root| root.put_symlink(&path("abs/full/sub/l"), b"x")).unwrap();
    assert_eq!(
        [time_of(&both, "."), time_of(&both, "etc/full"), time_of(&both, "etc/full/sub")],
        [(11, 12), (5, 5), (0, 0)]
    );
    for nowhere in ["loop/f", "etc/old/f", "etc/fifo/f", "etc/link/f"] {
        assert!(
            both.edit(|root| root.put_file(&path(nowhere), &Meta::default(), &mut &b"x"[..])).is_err(),
            "{nowhere}"
        );
    }
}

#[test]
fn a_directory_is_neither_replaced_nor_removed() {
    let mut both = sample();
    for folder in ["etc/full", "abs/full", "."] {
        let folder = path(folder);
        assert!(both.edit(|root| root.put_file(&folder, &Meta::default(), &mut &b"x"[..])).is_err(), "{folder}");
        assert!(both.edit(|root| root.put_symlink(&folder, b"x")).is_err(), "{folder}");
        assert!(both.edit(|root| root.put_text(&folder, b"x")).is_err(), "{folder}");
        assert!(both.edit(|root| root.remove(&folder)).is_err(), "{folder}");
    }
    assert_eq!(time_of(&both, "etc"), (1_000_000_000, 123));
}

#[test]
fn directories_are_made_and_changed_with_all_of_their_metadata() {
    let mut both = sample();
    let meta = Meta { mode: 0o1770, ..odd_meta() };
    for (name, real) in
        [("etc/new", "etc/new"), ("etc/full", "etc/full"), ("etc/dangling", "made/by/link"), ("abs", "etc"), (".", ".")]
    {
        both.edit(|root| root.put_directory(&path(name), &meta)).unwrap();
        assert_eq!(both.ask(|root| root.meta(&path(real)).unwrap()), Some(meta.clone()), "{name}");
    }
    both.edit(|root| root.put_directory(&path("etc/full"), &Meta::default())).unwrap();
    assert_eq!(both.ask(|root| root.meta(&path("etc/full")).unwrap()), Some(Meta::default()), "no attribute is left");
    assert!(both.ask(|root| root.has_file("etc/full/f")));
    for taken in ["etc/old", "etc/link", "etc/fifo", "loop"] {
        assert!(both.edit(|root| root.put_directory(&path(taken), &meta)).is_err(), "{taken}");
    }
}

#[test]
fn what_is_removed_is_gone_and_what_is_missing_is_no_error() {
    let mut both = sample();
    for name in ["etc/link", "abs/old", "etc/fifo", "etc/dangling", "missing", "missing/too", "etc/second/x", "abs"] {
        both.edit(|root| root.remove(&path(name))).unwrap();
        assert_eq!(both.ask(|root| root.look(name, Last::NoFollow).unwrap()), None, "{name}");
    }
    assert_eq!(both.ask(|root| root.list("etc").unwrap()), ["full", "second"]);
    assert_eq!((time_of(&both, "etc"), time_of(&both, ".")), ((1_000_000_000, 123), (11, 12)));
    assert!(both.edit(|root| root.remove(&path("loop/x"))).is_err());
}

#[test]
fn a_text_keeps_the_metadata_of_the_file_that_it_replaces() {
    let mut both = sample();
    let old = both.ask(|root| root.meta(&path("etc/old")).unwrap().unwrap());
    assert_eq!((old.mode, old.uid, old.gid, old.xattrs.len()), (0o640, 1, 2, 1));
    for name in ["etc/old", "etc/link"] {
        both.edit(|root| root.put_text(&path(name), b"text")).unwrap();
        assert_eq!(both.ask(|root| root.meta(&path(name)).unwrap()), Some(old.clone()), "{name}");
        assert_eq!(both.ask(|root| root.look(name, Last::NoFollow).unwrap().unwrap().what), What::File { size: 4 });
    }
    let plain = Meta { mode: 0o644, ..Meta::default() };
    both.edit(|root| root.put_symlink(&path("etc/to-folder"), b"full")).unwrap();
    for name in ["etc/none", "etc/fifo", "etc/dangling", "loop", "etc/to-folder"] {
        both.edit(|root| root.put_text(&path(name), b"text")).unwrap();
        assert_eq!(both.ask(|root| root.meta(&path(name)).unwrap()), Some(plain.clone()), "{name}");
    }
}

#[test]
fn an_edit_has_no_label_of_the_file_that_it_replaces() {
    let label = ("security.selinux", "system_u:object_r:etc_t:s0\0");
    let mut both = Both::of(&[Tar::of([file("f", "").xattr(label.0, label.1)])]);
    assert!(both.ask(|root| root.look("f", Last::NoFollow).unwrap().unwrap().labelled));
    assert_eq!(both.ask(|root| root.meta(&path("f")).unwrap().unwrap().xattrs), []);
    both.edit(|root| root.put_text(&path("f"), b"x")).unwrap();
    assert!(!both.ask(|root| root.look("f", Last::NoFollow).unwrap().unwrap().labelled));
}

#[test]
fn names_need_not_be_text() {
    let mut both = sample();
    let (folder, name) = (path(b"latin1-\xe4"), path(b"latin1-\xe4/\xff\n"));
    both.edit(|root| root.put_directory(&folder, &odd_meta())).unwrap();
    both.edit(|root| root.put_text(&name, b"one")).unwrap();
    both.edit(|root| root.put_file(&name, &odd_meta(), &mut &b"two"[..])).unwrap();
    both.edit(|root| root.put_text(&name, b"three")).unwrap();
    assert_eq!(both.ask(|root| root.meta(&name).unwrap()), Some(odd_meta()));
    let content = both.ask(|root| {
        let mut text = String::new();
        root.open_at(&name).unwrap().unwrap().read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(content, "three");
    both.edit(|root| root.remove(&name)).unwrap();
    assert_eq!(both.ask(|root| root.look_at(&name, Last::NoFollow).unwrap()), None);
}

/// A body that ends in an error.
struct Failing(bool);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.0, true) {
            return Err(io::Error::other("the source is gone"));
        }
        buffer[0] = b'x';
        Ok(1)
    }
}

#[test]
fn a_body_that_fails_leaves_the_file_that_was_there_and_nothing_else() {
    let mut both = sample();
    let text = both.edit(|root| root.put_file(&path("etc/old"), &odd_meta(), &mut Failing(false))).unwrap_err();
    assert!(text.contains("putting /etc/old") && text.contains("the source is gone"), "{text}");
    assert_eq!(both.ask(|root| root.read("etc/old", 10).unwrap()).as_deref(), Some("old"));
    assert_eq!((both.ask(|root| root.list("etc").unwrap().len()), time_of(&both, "etc")), (6, (1_000_000_000, 123)));
}

#[test]
fn many_and_large_files_are_put_whole() {
    let mut both = Both::of(&[]);
    let body = |number: usize| vec![u8::try_from(number % 251).unwrap(); number * 300_000];
    for number in 0..12 {
        let name = path(format!("f{number}"));
        both.edit(|root: &mut dyn Edit| root.put_file(&name, &Meta::default(), &mut &body(number)[..])).unwrap();
    }
}
