//! Faults from the root filesystem to a system that is up: init, SELinux, default target, what is waited
//! for.

use crate::check::case::{Case, all_must_be_found_alone};
use crate::check::sound::{dynamic, fixed, for_arm, program};
use crate::support::tar::{Item, dir, file, symlink, whiteout};

const INIT: &str = "usr/sbin/init";
const UNITS: &str = "usr/lib/systemd/system";
const CHOICE: &str = "etc/systemd/system/default.target";

/// A layer that changes nothing: the fault is in the words.
const NONE: [Item; 0] = [];

pub fn cases() -> Vec<Case> {
    let init = |what, item: Item, says| Case::new("init", what, [item], says);
    let mut big_endian = fixed();
    big_endian[0x12..0x14].copy_from_slice(&[0, 62]);
    let selinux = file("etc/selinux/config", "# comment\nSELINUX=permissive\nSELINUX=enforcing\n");
    let unlabelled = [file("etc/passwd", "root::0:0::/:/bin/sh\n").xattr("security.selinux", "x\0"), selinux.clone()];
    let mut cases = vec![
        Case::new("init-missing", "none", [whiteout(INIT)], "no init (/sbin/init)"),
        Case::new("init-missing", "none where it was asked for", NONE, "no init (/opt/init)")
            .words(&["--kargs=init=/opt/init", "--console=ttyS0"]),
        init("mode 644", file(INIT, fixed()), "cannot be executed (mode 644)"),
        init("a link to nothing", symlink(INIT, "../lib/gone"), "leads to ../lib/gone, which is not there"),
        init("a link to itself", symlink(INIT, "init"), "leads to init, which is not there"),
        init("another processor", program(INIT, for_arm()), "another processor (ELF machine 183)"),
        init("another order of bytes", program(INIT, big_endian), "another processor"),
        init("no bytes", program(INIT, ""), "is empty"),
        init("no program", program(INIT, "hello\n"), "neither ELF nor a script"),
        init("a program that was cut", program(INIT, &dynamic()[..60]), "neither ELF nor a script"),
        init("a script without its interpreter", program(INIT, "#!/opt/bin/perl -w\n"), "needs /opt/bin/perl"),
        init("a directory", dir(INIT), "is not a file"),
        Case::new(
            "init",
            "no interpreter",
            [whiteout("usr/lib64/ld-linux-x86-64.so.2")],
            "needs /lib64/ld-linux-x86-64.so.2",
        ),
        Case::new(
            "init",
            "an interpreter that leads nowhere",
            [symlink("usr/lib64/ld-linux-x86-64.so.2", "gone")],
            "needs /lib64/ld-linux",
        ),
        Case::new("selinux", "no label at all", [selinux], "these have no label: /etc/passwd /usr/lib/systemd/systemd"),
        Case::new("selinux", "one label", unlabelled, "these have no label: /usr/lib/systemd/systemd"),
    ];
    cases.extend(target_cases());
    cases.extend(agent_cases());
    cases
}

fn agent_cases() -> Vec<Case> {
    let agent = |what, layer: Vec<Item>, says| Case::new("agent-overridden", what, layer, says);
    let trial = "etc/systemd/system/flipslot-trial.service";
    let condition = "[Unit]\nConditionPathExists=/nowhere\n";
    vec![
        agent("a mask", vec![symlink(trial, "/dev/null")], "masks flipslot-trial.service, a unit of the agent"),
        agent(
            "another unit",
            vec![file(trial, "[Service]\nExecStart=/bin/true\n")],
            "replaces flipslot-trial.service, a unit of the agent",
        ),
        agent("a condition", vec![file(format!("{trial}.d/never.conf"), condition)], "never.conf changes a unit"),
        agent(
            "a condition for all",
            vec![file(format!("{UNITS}/flipslot-.service.d/never.conf"), condition)],
            "flipslot-.service.d/never.conf changes a unit of the agent",
        ),
    ]
}

fn target_cases() -> Vec<Case> {
    let target = |what, layer: Vec<Item>, says| Case::new("default-target", what, layer, says);
    let masked = "etc/systemd/system/multi-user.target";
    vec![
        target("none", vec![whiteout(&format!("{UNITS}/default.target"))], "there is no default.target"),
        target("masked", vec![symlink(CHOICE, "/dev/null")], "/etc/systemd/system/default.target is masked"),
        target("masked by an empty file", vec![file(CHOICE, "")], "is masked"),
        target(
            "one that is not installed",
            vec![symlink(CHOICE, "/usr/lib/systemd/system/kde.target")],
            "leads to /usr/lib/systemd/system/kde.target",
        ),
        target("what it leads to is masked", vec![symlink(masked, "/dev/null")], "multi-user.target, which is masked"),
        target(
            "what it leads to is gone",
            vec![whiteout(&format!("{UNITS}/multi-user.target"))],
            "leads to multi-user.target, which is not there",
        ),
        target("a circle", vec![symlink(CHOICE, "default.target")], "leads to default.target"),
        target("one that the command line names", vec![], "there is no kde.target")
            .words(&["--kargs=systemd.unit=kde.target", "--console=ttyS0"]),
    ]
}

pub fn waiting_cases() -> Vec<Case> {
    let fstab = |what, text: &str, says| Case::new("fstab", what, [file("etc/fstab", text)], says);
    let crypttab = |what, text: &str, says| Case::new("crypttab", what, [file("etc/crypttab", text)], says);
    let resume = |what, words: &str| {
        Case::new("resume", what, NONE, "no such partition").words(&[&format!("--kargs={words}"), "--console=ttyS0"])
    };
    vec![
        fstab("a UUID", "UUID=0-1 / ext4 defaults 0 1\n", "line 1 names UUID=0-1, which no new slot has"),
        fstab("a device", "# x\n/dev/sda1 / ext4 defaults 0 1\n", "line 2 names /dev/sda1"),
        fstab("a label", "LABEL=data /data xfs defaults 0 0\n", "names LABEL=data"),
        fstab("a link of udev", "/dev/disk/by-uuid/0-1 /data xfs\n", "names /dev/disk/by-uuid/0-1"),
        fstab("swap", "/dev/vdb none swap sw 0 0\n", "names /dev/vdb"),
        fstab("two lines", "/dev/vdb /a ext4\n/dev/vdc /b ext4\n", "line 1"),
        crypttab("a UUID", "data UUID=0-2 none luks\n", "/etc/crypttab line 1 names UUID=0-2"),
        crypttab("a device", "swap /dev/vdb /dev/urandom swap\n", "names /dev/vdb"),
        resume("a device", "resume=/dev/sda2"),
        resume("a UUID", "resume=UUID=0-3"),
    ]
}

#[test]
fn f8_f12_what_keeps_a_root_from_coming_up_is_found_and_nothing_else() {
    all_must_be_found_alone(cases());
}

#[test]
fn f7_what_is_waited_for_in_vain_is_found_and_nothing_else() {
    all_must_be_found_alone(waiting_cases());
}

#[test]
fn what_nothing_waits_for_is_not_found() {
    let lines =
        "UUID=1 /data ext4 nofail\n/dev/vdb /x ext4 noauto\nserver:/x /x nfs defaults\ntmpfs /tmp tmpfs defaults\n";
    let init = ["#!/bin/sh\n", "#! /usr/bin/sh -e\n"].map(|text| program(INIT, text));
    let folder = tempfile::tempdir().unwrap();
    for item in init.into_iter().chain([
        program(INIT, fixed()),
        symlink(INIT, "/usr/lib/systemd/systemd"),
        file("etc/fstab", lines),
        file("etc/crypttab", "data UUID=2 none luks,nofail\n"),
        file("etc/selinux/config", "SELINUX=permissive\n"),
        symlink(CHOICE, "/lib/systemd/system/graphical.target"),
        symlink(CHOICE, "../../../usr/lib/systemd/system/rescue.target"),
    ]) {
        crate::check::case::write(folder.path(), &[vec![item.clone()]], &crate::check::sound::machine());
        let run = crate::check::case::check(folder.path(), &["--console=ttyS0"]);
        assert_eq!(run.code, 0, "{item}: {}{}", run.stdout, run.stderr);
    }
}
