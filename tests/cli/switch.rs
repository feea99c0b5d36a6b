//! `switch`, `confirm`, `rollback` and `cleanup` as far as they go on a machine that runs from no slot,
//! and what a switch refuses to jump into. What they do where they belong is tested on machines that
//! boot.

use crate::cli::images;
use crate::support::disk::{Disk, MIB, NAME, SLOT_A};
use crate::support::program::{assert_nothing_left, flipslot, tool};
use flipslot::disk::installed::boot_partition::Access;
use flipslot::disk::installed::state_home::StateHome;
use flipslot::error::{hint, kind};
use flipslot::jump::ready::Ready;
use flipslot::mount::scratch::Scratch;
use std::os::unix::fs::FileExt;
use std::thread;

#[test]
fn on_a_machine_that_runs_from_no_slot_every_verb_says_so() {
    let here = StateHome::find(None, Access::Look).and_then(StateHome::disk);
    assert!(here.is_err(), "this machine runs from a slot, which this test would restart: run it elsewhere");
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["switch", "--slot=b"][..],
        &["switch", "--slot=b", "--dry-run"],
        &["switch", "--slot=b", "--by=firmware"],
        &["confirm"],
        &["confirm", "--dry-run"],
        &["rollback"],
        &["rollback", "--dry-run"],
        &["cleanup"],
        &["cleanup", "--dry-run"],
        &["status"],
        &["flash", "oci:x", "--slot=b"],
    ] {
        let run = flipslot(folder.path(), arguments);
        run.must_end(3, &["flipslot: ", "\n  next: "]);
        let says = ["does not run from a slot", "has no flipslot table"];
        assert!(says.iter().any(|text| run.stderr.contains(text)), "{arguments:?}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
    assert_nothing_left(folder.path(), &[]);
}

/// What a switch into `slot` is refused with: exit code, reason, way on. `None` if it is not.
fn refusal(disk: &Disk, slot: &str) -> Option<(u8, String, String)> {
    let (path, slot) = (disk.path(), slot.parse().unwrap());
    // A thread of its own, because it gets mounts of its own.
    let check = thread::spawn(move || {
        let scratch = Scratch::enter().unwrap();
        let disk = flipslot::disk::installed::open::Disk::open(&path, Access::Look).unwrap();
        let error = Ready::check(&scratch, &disk, slot, None).err()?;
        Some((kind(&error).exit_code(), format!("{error:#}"), hint(&error).unwrap_or_default().to_owned()))
    });
    check.join().unwrap()
}

fn must_be_refused(disk: &Disk, slot: &str, text: &str) {
    let (code, found, next) = refusal(disk, slot).expect("it is refused");
    assert!(code == 3 && found.contains(text), "'{text}' is missing in: {found}");
    assert_eq!(next, format!("write it: flipslot flash REFERENCE --slot {slot}"));
}

#[test]
fn an_empty_and_a_half_written_slot_cannot_be_jumped_into() {
    let disk = Disk::with(&images::debian());
    assert_eq!(refusal(&disk, "a"), None, "a whole slot can");
    must_be_refused(&disk, "b", "slot b holds nothing");
    images::no_kernel().write(&disk.folder().join("image"), "1");
    disk.flash("oci:image:1", "b", &[]).must_end(1, &["no kernel"]);
    let before = disk.content();
    must_be_refused(&disk, "b", "slot b is half written: a flash did not finish");
    let (code, found, _) = refusal(&disk, "c").expect("it is refused");
    assert!(code == 3 && found.contains("has no slot c; it has a, b"), "{found}");
    assert_eq!(disk.changed_since(&before), Vec::<u64>::new());
    assert_nothing_left(disk.folder(), &[NAME, "image"]);
}

#[test]
fn a_slot_whose_kernel_or_initramfs_is_not_the_recorded_one_cannot_be_jumped_into() {
    let record = |disk: &Disk| disk.boot_file("flipslot/slot-a.json");
    let original = Disk::with(&images::debian());
    let record: serde_json::Value = serde_json::from_str(&record(&original)).unwrap();
    let kernel = record["entry"]["kernel"]["path"].as_str().unwrap();
    let initramfs = record["entry"]["initramfs"].as_str().unwrap();
    drop(original);
    for path in [kernel, initramfs] {
        let disk = Disk::with(&images::debian());
        let request = format!("blocks {}", absolute(path));
        let blocks = tool("debugfs", &["-R", &request, &disk.slot_for_e2fsprogs(&SLOT_A)]);
        let middle: Vec<u64> = blocks.split_whitespace().filter_map(|block| block.parse().ok()).collect();
        let place = SLOT_A.start * MIB + middle[middle.len() / 2] * 4096;
        let mut byte = [0];
        disk.file().read_exact_at(&mut byte, place).unwrap();
        disk.file().write_all_at(&[byte[0] ^ 1], place).unwrap();
        must_be_refused(&disk, "a", &format!("{path} does not match its recorded digest"));
    }
}

#[test]
fn a_slot_whose_entry_boots_something_else_than_its_record_says_cannot_be_jumped_into() {
    let disk = Disk::with(&images::debian());
    let entry = disk.boot_file("flipslot/slot-a.cfg");
    let place = disk.places("flipslot/slot-a.cfg")[0].start + 2 * MIB;
    let at = entry.find("'quiet'").expect("it was made with this word");
    disk.file().write_all_at(b"'quick'", place + at as u64).unwrap();
    assert!(disk.boot_file("flipslot/slot-a.cfg").contains("'quick'"));
    must_be_refused(&disk, "a", "its entry and its record do not match");
    assert_eq!(disk.status()["slots"][0]["holds"], "damaged");
}

fn absolute(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}
