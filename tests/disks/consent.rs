//! Who may overwrite a disk: at a terminal, who types its name; without one, who names it in flags. What
//! goes on is seen by how it ends: the image has no kernel, which is found when the disk is written.

use crate::disks::lab::{Lab, MIB, alone};
use crate::support::program::{Run, tool};

const NO_KERNEL: &[&str] = &["no kernel"];

/// A disk with a table, a filesystem with a label, and an old system's name on it.
fn used() -> (Lab, String) {
    let mut lab = Lab::new();
    tool("sgdisk", &["--new=1:2048:+64M", "--change-name=1:payroll", "--new=2:0:+32M", &lab.backing()]);
    let part = lab.attach("backing", &["--offset=1MiB", "--sizelimit=64MiB"]);
    tool("mke2fs", &["-q", "-F", "-t", "ext4", "-L", "accounts", &part]);
    tool("losetup", &["--detach", &part]);
    lab.forget_last();
    let disk = lab.disk();
    (lab, disk)
}

fn must_go_on(run: &Run) {
    run.must_end(1, NO_KERNEL);
}

#[test]
fn at_a_terminal_the_disk_is_shown_and_its_name_must_be_typed() {
    let _alone = alone();
    let (lab, disk) = used();
    let before = lab.digest(&disk);
    let shown = [
        &format!("{disk} is no model, serial {}, 132MiB (loop", lab.backing()),
        "a partition table (gpt)",
        "partition 1 'payroll', 64MiB: ext4 'accounts'",
        "partition 2, 32MiB: unrecognized content",
        "Everything on it will be lost. To write to this disk, type its name: ",
    ];
    for typed in ["yes\n", "\n", "", "/dev/loop\n", "loop1\n"] {
        let run = lab.create_at_terminal(&disk, &[], typed);
        run.must_end(3, &shown);
        run.must_end(3, &[&format!("what was typed is not {disk}; nothing was written"), "next: "]);
        assert_eq!(lab.digest(&disk), before, "{typed:?}");
    }
    must_go_on(&lab.create_at_terminal(&disk, &[], &format!("{disk}\n")));
    assert_ne!(lab.digest(&disk), before);
}

#[test]
fn at_a_terminal_the_name_is_the_one_that_the_user_gave() {
    let _alone = alone();
    let (lab, disk) = used();
    let link = lab.path("ata-Model_Serial");
    std::os::unix::fs::symlink(&disk, &link).unwrap();
    let before = lab.digest(&disk);
    lab.create_at_terminal(&link, &[], &format!("{disk}\n")).must_end(3, &["what was typed is not"]);
    assert_eq!(lab.digest(&disk), before);
    must_go_on(&lab.create_at_terminal(&link, &[], &format!("{link}\n")));
}

#[test]
fn at_a_terminal_an_empty_disk_is_asked_for_too_and_yes_asks_nothing() {
    let _alone = alone();
    let mut lab = Lab::new();
    let disk = lab.disk();
    lab.create_at_terminal(&disk, &[], "no\n").must_end(3, &["nothing: it is empty", "To write to this disk"]);
    let run = lab.create_at_terminal(&disk, &["--yes"], "");
    must_go_on(&run);
    assert!(!run.stderr.contains("type its name"), "{}", run.stderr);
}

#[test]
fn without_a_terminal_an_empty_disk_or_the_serial_number_of_the_disk_is_enough() {
    let _alone = alone();
    let mut lab = Lab::new();
    let disk = lab.disk();
    must_go_on(&lab.create(&disk, &[]));
    drop(lab);

    let (lab, disk) = used();
    must_go_on(&lab.create(&disk, &["--yes", &format!("--expect-serial={}", lab.backing())]));
}

#[test]
fn a_kind_that_is_named_may_go() {
    let _alone = alone();
    let mut lab = Lab::new();
    lab.put(0, b"bluestore block device\n");
    lab.put(132 * MIB - 1024, b"Intel Raid ISM Cfg Sig. 1.0.00");
    let disk = lab.disk();
    let serial = format!("--expect-serial={}", lab.backing());
    lab.create(&disk, &["--yes", &serial]).must_end(3, &["--destroy ceph_bluestore,isw_raid_member"]);
    lab.create(&disk, &["--destroy=ceph_bluestore,isw_raid_member"]).must_end(3, &["is not empty"]);
    must_go_on(&lab.create(&disk, &["--yes", &serial, "--destroy=ceph_bluestore", "--destroy=isw_raid_member"]));
}
