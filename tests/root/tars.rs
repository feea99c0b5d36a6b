//! Archives of a root, judged by GNU tar, by umoci, and by our own reader of layers.

use super::walked::{assert_equal_entries, assert_equal_walks, walked};
use super::{Both, write};
use crate::layers::umoci::unpack_with_umoci;
use crate::layers::umoci_random::image;
use crate::support::layout::{ImageLayout, Packing};
use crate::support::tar::{Tar, block, character, dir, fifo, file, hardlink, symlink};
use crate::support::tree::Tree;
use flipslot::root::edit::Edit;
use flipslot::root::memory::MemoryTree;
use flipslot::root::mounted::directory::Root;
use flipslot::root::tar_writer::write_tar;
use flipslot::root::walk::Walk;
use flipslot::tool::Tool;
use rustix::fs::{XattrFlags, setxattr};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

fn tar_of(root: &dyn Walk) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_tar(root, &mut bytes).unwrap();
    assert_eq!(bytes.len() % 512, 0);
    bytes
}

/// A root with everything that an archive can carry, in names of every length.
fn sample() -> Both {
    let named = |byte: &str, length: usize| byte.repeat(length);
    let deep = [named("a", 200), named("b", 200), named("c", 200)].join("/");
    let mut layer = vec![
        dir("./").mode(0o711).owner(5, 6).mtime(1000, 2).xattr("user.root", "r"),
        dir("tmp").mode(0o1777).mtime(-86_400, 0),
        file("tmp/old", "").mtime(-1_000_000, 500_000_000),
        file("tmp/late", "").mtime(1 << 33, 1),
        file("su", "program").mode(0o4755).mtime(1_350_244_992, 23_960_108),
        file("wall", "x".repeat(511)).mode(0o2755).owner(0, 5),
        file("full", "x".repeat(512)),
        file("owned", "x".repeat(513)).owner(2_097_151, 2_097_152).mode(0o600),
        file("far-owned", "").owner(3_000_000_000, 4_294_967_294),
        file("attributes", "").xattr("user.one", "1").xattr("trusted.two", b"\0binary\n=").xattr("user.a%b", "%"),
        symlink("rel", "bin/../su").owner(3, 4).mtime(9, 9).xattr("trusted.l", "link"),
        symlink("out", "../../../etc/passwd"),
        symlink("odd", b"latin1-\xe4"),
        character("null", 1, 3).mode(0o666),
        block("disk", 259, 1_048_575).owner(0, 6),
        fifo("pipe").mtime(1, 2).owner(1, 1),
        file(b"latin1-\xe4\xff", "3"),
        file("utf8-\u{e4}", "4"),
        file("new\nline and space", "5"),
        file([named("z", 250).as_bytes(), b"\xff"].concat(), "long and not UTF-8"),
        symlink("long-odd", [named("y", 300).as_bytes(), b"\xff"].concat()),
        dir(named("a", 200)),
        dir([named("a", 200), named("b", 200)].join("/")),
        dir(&deep).mtime(77, 7),
        file(format!("{deep}/f"), "deep"),
        symlink("long-link", format!("{deep}/f")),
        hardlink("z-hard", "su"),
        hardlink("z-long-hard", format!("{deep}/f")),
        hardlink("z-link", "rel"),
        hardlink("z-pipe", "pipe"),
        hardlink(named("h", 120), "disk"),
    ];
    for length in [98, 99, 100, 101, 255] {
        layer.extend([dir(named("d", length)), file(named("f", length), "")]);
        layer.push(symlink(format!("s{length}"), named("t", length)));
    }
    Both::of(&[Tar::of(layer)])
}

/// Unpacks an archive with GNU tar into `place`, which must say nothing about it.
fn unpack_with_tar(tar: &[u8], place: &Path) {
    let archive = place.with_extension("tar");
    fs::write(&archive, tar).unwrap();
    fs::create_dir(place).unwrap();
    let ran = Tool::new("tar")
        .args([
            "--extract",
            "--same-owner",
            "--same-permissions",
            "--warning=no-timestamp",
            "--xattrs",
            "--xattrs-include=*",
            "--file",
        ])
        .arg(&archive)
        .arg("--directory")
        .arg(place)
        .run()
        .unwrap();
    assert_eq!(ran.stderr.lines().filter(|line| !line.contains("'hdrcharset'")).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn equal_roots_make_equal_bytes() {
    let both = sample();
    let tar = tar_of(&both.mounted);
    assert!(tar == tar_of(&both.memory));
    assert!(tar == tar_of(&both.memory));
}

#[test]
fn gnu_tar_unpacks_what_was_packed() {
    let both = sample();
    let place = both.folder.path().join("unpacked");
    unpack_with_tar(&tar_of(&both.memory), &place);
    let difference = Tree::of(&both.folder.path().join("root")).difference(&Tree::of(&place));
    assert!(difference.is_empty(), "- root, + GNU tar:\n{difference}");
}

#[test]
fn our_own_reader_of_layers_unpacks_what_was_packed() {
    let both = sample();
    let mut again = MemoryTree::complete(both.folder.path().to_owned());
    write(&[tar_of(&both.mounted)], &mut again);
    assert_equal_walks(&both.memory, &again);
}

#[test]
fn umoci_unpacks_what_was_packed() {
    let both = sample();
    let layout = both.folder.path().join("layout");
    ImageLayout::new(&[(Packing::Plain, tar_of(&both.memory))]).write(&layout, "test");
    let theirs = unpack_with_umoci(&layout, &both.folder.path().join("bundle")).unwrap();
    let ours = Tree::of(&both.folder.path().join("root"));
    let difference = ours.difference(&theirs);
    assert!(difference.is_empty(), "- root, + umoci:\n{difference}");
}

#[test]
fn random_images_are_packed_whole() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 1..=20 {
        let layers: Vec<Vec<u8>> = image(seed).into_iter().map(Tar::of).collect();
        let mut tree = MemoryTree::complete(folder.path().to_owned());
        let mut budget = super::PLENTY;
        if layers.iter().try_for_each(|layer| flipslot::layer::apply(&layer[..], &mut tree, &mut budget)).is_err() {
            continue;
        }
        let place = folder.path().join(format!("image-{seed}"));
        unpack_with_tar(&tar_of(&tree), &place);
        assert_equal_entries(&walked(&tree), &walked(&Root::open(&place).unwrap()));
    }
}

#[test]
fn sockets_are_left_out_and_the_rest_is_packed() {
    let folder = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    fs::hard_link(folder.path().join("socket"), folder.path().join("socket-2")).unwrap();
    fs::write(folder.path().join("z"), "x").unwrap();
    let mut again = MemoryTree::complete(folder.path().to_owned());
    write(&[tar_of(&Root::open(folder.path()).unwrap())], &mut again);
    assert_eq!(super::walked::paths(&again), ["", "z"]);
}

#[test]
fn an_attribute_that_no_record_can_carry_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f"), "x").unwrap();
    setxattr(folder.path().join("f"), "user.a=b", b"c", XattrFlags::empty()).unwrap();
    let error = write_tar(&Root::open(folder.path()).unwrap(), &mut Vec::new()).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("writing /f") && text.contains("user.a=b"), "{text}");
}

#[test]
fn a_writer_that_fails_ends_the_archive() {
    let mut both = sample();
    both.memory.put_text(&super::path("large"), &[b'x'; 100_000]).unwrap();
    let mut room = [0_u8; 60_000];
    assert!(write_tar(&both.memory, &mut &mut room[..]).is_err());
}
