//! What is built on a disk: LVM, RAID, encryption, multipath and bcache, which need a kernel that has
//! them. The trees are q35's capture, and what `find /sys/devices/virtual/block` shows of such devices:
//! the attributes are those of drivers/md/dm-sysfs.c, drivers/md/md.c and drivers/md/bcache/sysfs.c, the
//! UUIDs as lvm2, cryptsetup and multipath-tools make them.

use crate::hardware::tree::Tree;
use flipslot::disk::safety::{System, Use};
use std::fs;
use tempfile::TempDir;

/// A disk `vdx` with a partition, free.
const FREE: &str = "\
l class/block/vdx ../../devices/virtual/block/vdx
l class/block/vdx1 ../../devices/virtual/block/vdx/vdx1
f devices/virtual/block/vdx/dev 252:80
f devices/virtual/block/vdx/vdx1/dev 252:81
f devices/virtual/block/vdx/vdx1/partition 1
";

/// A device `name` over `below`, which is a path in `devices/virtual/block`.
fn over(name: &str, below: &str, attributes: &[(&str, &str)]) -> String {
    let up = "../".repeat(below.matches('/').count() + 2);
    let own = below.rsplit('/').next().unwrap();
    let mut tree = format!(
        "l class/block/{name} ../../devices/virtual/block/{name}\n\
         l devices/virtual/block/{below}/holders/{name} {up}{name}\n\
         l devices/virtual/block/{name}/slaves/{own} ../../{below}\n"
    );
    for (path, text) in attributes {
        tree += &format!("f devices/virtual/block/{name}/{path} {text}\n");
    }
    tree
}

/// A `/proc` with these mounts.
fn proc(mounts: &str) -> TempDir {
    let proc = tempfile::tempdir().unwrap();
    fs::create_dir_all(proc.path().join("self/ns")).unwrap();
    fs::write(proc.path().join("self/mountinfo"), mounts).unwrap();
    proc
}

fn uses_of(disk: &str, tree: &Tree, mounts: &str) -> Vec<Use> {
    let proc = proc(mounts);
    let system = System::at(tree.root(), proc.path()).unwrap();
    system.uses_of_disk(&tree.block(disk)).unwrap()
}

fn releases(uses: &[Use]) -> Vec<&str> {
    uses.iter().map(|one| one.release.as_str()).collect()
}

#[test]
fn a_disk_that_nothing_is_built_on_is_free() {
    assert_eq!(uses_of("vdx", &Tree::of("").with(FREE), ""), []);
}

#[test]
fn each_kind_of_holder_is_told_with_the_command_that_takes_it_away() {
    let dm = |uuid, name| vec![("dm/uuid", uuid), ("dm/name", name), ("dev", "253:7")];
    for (name, attributes, found, release) in [
        (
            "dm-7",
            dm("LVM-3wPvo4UbJ0qKFDbs3mRKz5gVTYQtjVZd7TFXgSmeA4wT", "my--vg-the--root"),
            "my--vg-the--root (dm-7), an LVM volume, is built on vdx1",
            "vgchange --activate n my-vg",
        ),
        (
            "dm-7",
            dm("CRYPT-LUKS2-9b5b6f6b3a1111222233334444555566-secret", "secret"),
            "secret (dm-7), an encrypted device (dm-crypt), is built on vdx1",
            "cryptsetup close secret",
        ),
        (
            "dm-7",
            dm("mpath-360000000000000000e00000000010001", "mpatha"),
            "mpatha (dm-7), a multipath device, is built on vdx1",
            "multipath -f mpatha",
        ),
        (
            "dm-7",
            dm("part1-mpath-360000000000000000e00000000010001", "mpatha-part1"),
            "mpatha-part1 (dm-7), a partition of a multipath device, is built on vdx1",
            "kpartx -d mpatha-part1",
        ),
        ("dm-7", vec![("dm/name", "zero1"), ("dev", "253:7")], "a device of the device mapper", "dmsetup remove zero1"),
        (
            "md127",
            vec![("md/array_state", "clean"), ("dev", "9:127")],
            "md127, an array (md RAID), is built on vdx1",
            "mdadm --stop /dev/md127",
        ),
        (
            "bcache0",
            vec![("dev", "251:0")],
            "bcache0, a bcache device, is built on vdx1",
            "echo 1 > /sys/class/block/bcache0/bcache/stop",
        ),
        ("drbd0", vec![("dev", "147:0")], "drbd0 is built on vdx1", "see what it is: lsblk --inverse /dev/drbd0"),
    ] {
        let tree = Tree::of("").with(FREE).with(&over(name, "vdx/vdx1", &attributes));
        let uses = uses_of("vdx", &tree, "");
        assert_eq!(releases(&uses), [release]);
        assert!(uses[0].found.contains(found), "{}", uses[0].found);
    }
}

#[test]
fn what_is_built_on_what_is_released_from_the_top() {
    let tree = Tree::of("")
        .with(FREE)
        .with(&over("md0", "vdx/vdx1", &[("dev", "9:0"), ("md/array_state", "clean")]))
        .with(&over("dm-0", "md0", &[("dev", "253:0"), ("dm/uuid", "CRYPT-LUKS2-1-c"), ("dm/name", "c")]))
        .with(&over("dm-1", "dm-0", &[("dev", "253:1"), ("dm/uuid", "LVM-1"), ("dm/name", "vg-srv")]));
    let mounts = "30 22 253:1 / /srv rw - xfs /dev/mapper/vg-srv rw\n";
    let expected = ["umount /srv", "vgchange --activate n vg", "cryptsetup close c", "mdadm --stop /dev/md0"];
    assert_eq!(releases(&uses_of("vdx", &tree, mounts)), expected);
}

#[test]
fn bcache_that_has_made_no_device_yet_holds_the_disk_too() {
    let backing = "f devices/virtual/block/vdx/bcache/stop 0\nf devices/virtual/block/vdx/bcache/state no cache\n";
    let uses = uses_of("vdx", &Tree::of("").with(FREE).with(backing), "");
    assert_eq!(releases(&uses), ["echo 1 > /sys/class/block/vdx/bcache/stop"]);
}

#[test]
fn every_disk_of_a_captured_machine_that_carries_something_is_in_use() {
    let tree = Tree::of(crate::hardware::tree::Q35);
    let sysfs = tree.sysfs();
    let mut in_use = 0;
    for block in sysfs.blocks() {
        let carries = !sysfs.built_on(&block).is_empty();
        in_use += usize::from(carries);
        assert!(!carries || !uses_of(&block.name(), &tree, "").is_empty(), "{}", block.name());
    }
    assert!(in_use >= 2, "md0 and the mapped devices lie on disks");
}
