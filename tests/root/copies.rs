//! Copies of one root into another one hold the same.

use super::{Both, empty_root};
use crate::layers::umoci_random::image;
use crate::root::walked::{assert_equal_walks, walked};
use crate::support::tar::{Tar, character, dir, fifo, file, hardlink, symlink};
use flipslot::root::copy::copy_to;
use flipslot::root::memory::MemoryTree;
use flipslot::root::mounted::directory::Root;
use flipslot::root::mounted::sink::MountedRoot;
use flipslot::root::walk::Walk;
use std::fs;
use std::os::unix::net::UnixListener;

/// Copies `root` both ways, and panics unless both copies hold what it holds.
fn copied(root: &dyn Walk) {
    let folder = tempfile::tempdir().unwrap();
    let mut memory = MemoryTree::complete(folder.path().to_owned());
    copy_to(root, &mut memory).unwrap();
    assert_equal_walks(root, &memory);
    fs::create_dir(folder.path().join("root")).unwrap();
    copy_to(&memory, &mut MountedRoot::new(empty_root(&folder.path().join("root"))).unwrap()).unwrap();
    assert_equal_walks(&Root::open(&folder.path().join("root")).unwrap(), root);
}

#[test]
fn a_copy_has_every_kind_of_node_with_all_metadata() {
    let both = Both::of(&[Tar::of([
        dir("./").mode(0o711).owner(5, 6).mtime(1, 2).xattr("user.root", "r"),
        dir("d").mode(0o1777).mtime(7, 7),
        file("d/f", vec![7; 2 << 20]).mode(0o4755).owner(1, 2).mtime(-1, 5).xattr("security.selinux", "etc_t\0"),
        hardlink("e", "d/f"),
        symlink("l", b"\xff").mtime(9, 9).xattr("trusted.l", "link"),
        hardlink("l2", "l"),
        character("null", 1, 3).mode(0o666),
        fifo(b"fifo-\xe4"),
        hardlink("p2", b"fifo-\xe4"),
    ])]);
    copied(&both.mounted);
    copied(&both.memory);
}

#[test]
fn random_images_are_copied_whole() {
    for seed in 1..=20 {
        let layers: Vec<Vec<u8>> = image(seed).into_iter().map(Tar::of).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut tree = MemoryTree::complete(folder.path().to_owned());
        let mut budget = super::PLENTY;
        if layers.iter().try_for_each(|layer| flipslot::layer::apply(&layer[..], &mut tree, &mut budget)).is_ok() {
            copied(&tree);
        }
    }
}

#[test]
fn sockets_stay_behind() {
    let folder = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    fs::hard_link(folder.path().join("socket"), folder.path().join("socket-2")).unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    let mut tree = MemoryTree::complete(folder.path().to_owned());
    copy_to(&Root::open(folder.path()).unwrap(), &mut tree).unwrap();
    assert_eq!(walked(&tree).len(), 2);
}
