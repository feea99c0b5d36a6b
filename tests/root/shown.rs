//! Roots that are shown: their programs run, and nothing in them can be written, opened as a device, or gain
//! rights.

use super::Both;
use crate::root::walked::{Entry, walked};
use crate::support::tar::{Tar, character, dir, file, hardlink, symlink};
use flipslot::mount::scratch::Scratch;
use flipslot::root::mounted::directory::Root;
use flipslot::root::runnable::Runnable;
use flipslot::tool::Tool;
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::fs;
use std::io::ErrorKind;
use std::thread;

/// Runs `check` in a mount namespace of its own.
fn in_private(check: impl FnOnce(&Scratch) + Send + 'static) {
    thread::spawn(|| check(&Scratch::enter().unwrap())).join().unwrap();
}

fn sample() -> Both {
    let program = fs::read("/bin/true").unwrap();
    Both::of(&[Tar::of([
        dir("bin").mtime(5, 6),
        file("bin/program", program).mode(0o4755).owner(1, 1).mtime(7, 8),
        hardlink("bin/again", "bin/program"),
        symlink("usr", "bin"),
        character("null", 1, 3).mode(0o666),
        file("etc/shadow", "x").mode(0o600).xattr("user.x", "y").xattr("security.selinux", "shadow_t\0"),
    ])])
}

fn assert_shown(root: &dyn Runnable, scratch: &Scratch) -> Vec<Entry> {
    let place = scratch.directory("shown").unwrap();
    let mount = root.show_at(&place).unwrap();
    for name in ["bin/program", "bin/again", "usr/program"] {
        Tool::new(place.join(name)).run().unwrap();
    }
    assert_eq!(fs::write(place.join("new"), "").unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    assert_eq!(fs::read(place.join("null")).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(statvfs(&place).unwrap().f_flag.contains(StatVfsMountFlags::NOSUID));
    let entries = walked(&Root::open(&place).unwrap());
    mount.close().unwrap();
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0, "nothing is left");
    entries
}

#[test]
fn programs_of_a_mounted_root_run_where_it_is_shown() {
    let both = sample();
    in_private(move |scratch| {
        // A root of another mount namespace cannot be bound.
        let root = Root::open(&both.folder.path().join("root")).unwrap();
        assert_eq!(assert_shown(&root, scratch), walked(&both.memory));
        drop(both);
    });
}

#[test]
fn programs_of_a_root_in_memory_run_where_it_is_shown() {
    let both = sample();
    in_private(move |scratch| {
        let mut expected = walked(&both.memory);
        expected.iter_mut().for_each(|entry| entry.meta.xattrs.clear());
        assert_eq!(assert_shown(&both.memory, scratch), expected);
    });
}

#[test]
fn a_walk_ends_where_another_filesystem_is_mounted() {
    let both = Both::of(&[Tar::of([dir("bin"), file("bin/f", "x"), dir("run"), file("z", "")])]);
    in_private(move |scratch| {
        let place = scratch.directory("shown").unwrap();
        let mount = Root::open(&both.folder.path().join("root")).unwrap().show_at(&place).unwrap();
        let inner = flipslot::mount::mounted::Mount::memory(&place.join("run")).unwrap();
        fs::write(place.join("run/inside"), "").unwrap();
        let paths = crate::root::walked::paths(&Root::open(&place).unwrap());
        assert_eq!(paths, ["", "bin", "bin/f", "run", "z"]);
        inner.close().unwrap();
        mount.close().unwrap();
    });
}
