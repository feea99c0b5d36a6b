//! The chamber: an image whose dracut is hostile gets nowhere.

use crate::cli::images;
use crate::support::layout::ImageLayout;
use crate::support::program::{Guard, Run, assert_nothing_left, command, ended};
use crate::support::tar::{Tar, file};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Tries to leave the slot, and says on stderr which way worked; then fails, so that what it said is shown. Each line
/// works in a chamber without the wall that it is about.
const HOSTILE: &str = r#"#!/bin/bash
tried() { local name=$1; shift; if "$@" 2>/dev/null; then worked+="$name "; else failed+="$name "; fi; }
write() { echo x > "$1"; }
# A system call succeeds, or fails for another reason than that it is refused (1) or absent (38).
call() { perl -e 'my @a = map { $_ } @ARGV; my $r = syscall($a[0]+0, $a[1]+0, $a[2]+0, $a[3]+0); exit($r < 0 && ($! == 1 || $! == 38))' "$@"; }
tried write-slot write /etc/planted
tried write-usr write /usr/bin/planted
tried remount mount -o remount,rw /
tried sysctl write /proc/sys/kernel/hostname
open_device() { mknod /tmp/disk b 7 0 && head -c 1 /tmp/disk; }
tried device-in-tmp open_device
tried climb perl -e 'mkdir "/tmp/x"; chroot "/tmp/x"; chdir ".." for 1..20; chroot "."; exit(!-e "$VICTIM")'
tried see-processes [ "$(ls -d /proc/[0-9]* | wc -l)" -gt 20 ]
tried network [ "$(tail -n +3 /proc/net/dev | grep -vc ' lo:')" -gt 0 ]
tried inherited-descriptor [ -e /proc/$$/fd/7 ]
tried session [ "$(cut -d ' ' -f 6 /proc/$$/stat)" = 0 ]
sets() { sed -n 's/^Cap\(Inh\|Prm\|Eff\|Bnd\|Amb\):\t//p' /proc/$$/status | tr '\n' ' '; }
kept=000000008804001b
tried capabilities [ "$(sets)" != "0000000000000000 $kept $kept $kept 0000000000000000 " ]
tried new-privileges grep -q '^NoNewPrivs:.0' /proc/$$/status
tried keyring perl -e 'my @a = ("user", "planted", "x"); exit(syscall(248, @a, 1, -4) < 0)'
tried user-namespace unshare --user true
tried vsock perl -e 'exit(!socket(my $s, 40, 1, 0))'
tried outlive call 157 1 0
tried io-uring call 425 0 0
tried trace call 101 -1 -1
tried fill-memory [ "$(df --output=size -k /tmp | tail -1)" -gt 2097152 ]
tried fill-inodes [ "$(df --output=itotal /run | tail -1)" -gt 100000 ]
tried endless-file truncate -s 2G /tmp/sparse
tried memory-is-usable write /run/mine
tried null-is-usable write /dev/null
echo "WORKED: $worked" >&2
echo "failed: $failed" >&2
exit 9
"#;

/// Disregards the end of its parent, leaves its session, and sleeps for a number of seconds that tells it from others.
const SURVIVOR: &str = r#"#!/usr/bin/perl
syscall(157, 1, 0);
system("setsid sleep SECONDS &");
sleep SECONDS;
"#;

/// An image of Debian with this dracut, as `image:latest` in `folder`.
fn with_dracut(folder: &Path, dracut: &str) {
    let layer = Tar::of([file("usr/bin/dracut", dracut).mode(0o755)]);
    ImageLayout::over(&images::debian_without_initramfs(), &[layer]).write(&folder.join("image"), "latest");
}

fn create(folder: &Path) -> Command {
    command(folder, &["create", "d.raw", "--size=4GiB", "--hardware=qemu", "--slot=a=oci:image:latest"])
}

#[test]
fn a_hostile_dracut_changes_neither_this_machine_nor_its_own_verified_slot() {
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    fs::write(&victim, "").unwrap();
    with_dracut(folder.path(), &HOSTILE.replace("$VICTIM", &victim.to_string_lossy()));

    // Whoever starts flipslot may leave it capabilities that programs inherit, and open descriptors.
    let inner = create(folder.path());
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    let mut outer = Command::new("setpriv");
    outer.args(["--inh-caps=+sys_admin,+sys_ptrace", "sh", "-c", "exec 7</; exec \"$@\"", "sh"]);
    outer.arg(inner.get_program()).args(inner.get_args()).current_dir(folder.path()).env("HOME", folder.path());
    let run = ended(&mut outer);
    run.must_end(1, &["ended with exit code 9"]);
    assert_eq!(outcomes(&run, "WORKED: "), ["memory-is-usable", "null-is-usable"], "{}", run.stderr);
    assert_eq!(outcomes(&run, "failed: ").len(), HOSTILE.matches("\ntried ").count() - 2, "{}", run.stderr);
    assert_nothing_left(folder.path(), &["image", "victim"]);
}

/// What worked, or failed.
fn outcomes<'r>(run: &'r Run, outcome: &str) -> Vec<&'r str> {
    let line = run.stderr.lines().find_map(|line| line.trim().strip_prefix(outcome));
    line.expect("dracut ran to its end").split_whitespace().collect()
}

#[test]
fn a_dracut_that_wants_to_outlive_a_killed_flipslot_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let seconds = (1_000_000 + std::process::id()).to_string();
    with_dracut(folder.path(), &SURVIVOR.replace("SECONDS", &seconds));
    let mut flipslot = Guard(create(folder.path()).spawn().unwrap());
    eventually("dracut runs", || sleeping(&seconds) > 0);
    flipslot.0.kill().unwrap();
    eventually("nothing of it is left", || sleeping(&seconds) == 0);
    assert_nothing_left(folder.path(), &["image"]);
}

/// Processes that sleep for so long.
fn sleeping(seconds: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let is_one = |line: &Vec<u8>| line.split(|byte| *byte == 0).any(|word| word == seconds.as_bytes());
    processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok()).filter(is_one).count()
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(300), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
