//! The state block, damaged as power cuts and other programs damage it: it is told, left alone by who
//! only looks, and mended by the next command that changes the disk.

use crate::cli::images;
use crate::support::disk::{Disk, NAME};
use crate::support::program::flipslot;
use flipslot::boot::state::{SIZE, State};
use serde_json::json;
use std::os::unix::fs::FileExt;

const ONE: &str = "copy 1 of the state block was not whole";
const TWO: &str = "copy 2 of the state block was not whole";
const OLDER: &str = "copy 2 of the state block was older than copy 1";
const NEITHER: &str = "neither copy of the state block was intact";

type Block = [u8; SIZE];

fn first() -> State {
    State::first("a".parse().unwrap())
}

/// Slot b was confirmed after a kexec, and the firmware has yet to try it.
fn newer() -> State {
    State { wanted: "b".parse().unwrap(), tries: 3, ..first() }
}

/// A block of which only the second sector came to the disk.
fn torn() -> Block {
    let mut block = first().render();
    block[..512].fill(0);
    block
}

/// A block that ends before its last line.
fn endless() -> Block {
    let whole = String::from_utf8(first().render().to_vec()).unwrap();
    whole.replace("end=1\n", "######").into_bytes().try_into().unwrap()
}

/// Something else, which is shorter than a block: the rest of the block is still there.
fn text() -> Block {
    let mut block = first().render();
    block[..700].copy_from_slice(&b"not what GRUB reads\n".repeat(35));
    block
}

/// What the two copies are.
fn blocks(disk: &Disk, places: [u64; 2]) -> [Block; 2] {
    places.map(|place| {
        let mut block = [0; SIZE];
        disk.file().read_exact_at(&mut block, place).unwrap();
        block
    })
}

fn damage_copies(disk: &Disk, places: [u64; 2], copies: [Block; 2]) {
    places.iter().zip(copies).for_each(|(place, copy)| disk.file().write_all_at(&copy, *place).unwrap());
}

#[test]
fn a_damaged_copy_is_told_left_alone_by_status_and_mended_by_cleanup() {
    let disk = Disk::with(&images::debian());
    let (places, empty) = (disk.state_copies(), [0; SIZE]);
    assert_eq!(blocks(&disk, places), [first().render(); 2], "they are where they were looked for");
    for (damage, copies, sentence, counts) in [
        ("copy 1 torn at 512", [torn(), newer().render()], ONE, newer()),
        ("copy 2 torn at 512", [newer().render(), torn()], TWO, newer()),
        ("copy 1 empty", [empty, first().render()], ONE, first()),
        ("copy 2 empty", [newer().render(), empty], TWO, newer()),
        ("copy 1 a text", [text(), newer().render()], ONE, newer()),
        ("copy 1 without end", [endless(), newer().render()], ONE, newer()),
        ("copy 2 without end", [newer().render(), endless()], TWO, newer()),
        ("copy 2 older", [newer().render(), first().render()], OLDER, newer()),
        ("both empty", [empty, empty], NEITHER, first()),
        ("both without end", [endless(), endless()], NEITHER, first()),
    ] {
        damage_copies(&disk, places, copies);
        let before = disk.content();
        let (status, next_boot) = (disk.status(), counts.next_boot().to_string());
        assert_eq!((&status["damage"], &status["next_boot"]), (&json!(sentence), &json!(next_boot)), "{damage}");
        assert!(
            disk.status_text().contains(&format!("{sentence}; the next command that changes this disk repairs it"))
        );
        let would = flipslot(disk.folder(), &["cleanup", "--disk", NAME, "--dry-run"]);
        would.must_end(0, &[]);
        let files = "  on the boot partition of d.raw: flipslot/state-1 flipslot/state-2";
        assert_eq!(would.stdout, format!("would repair the state block: {sentence}\n{files}\n"), "{damage}");
        assert_eq!(disk.changed_since(&before), Vec::<u64>::new(), "{damage}: who looks changes nothing");

        let cleanup = flipslot(disk.folder(), &["cleanup", "--disk", NAME]);
        cleanup.must_end(0, &[&format!("flipslot: {sentence}; both are written again: slot a is proven")]);
        assert_eq!(blocks(&disk, places), [counts.render(); 2], "{damage}");
        assert_eq!(disk.status()["damage"], json!(null), "{damage}");
    }
    assert!(blocks(&disk, places)[0].starts_with(b"# GRUB Environment Block\n"));
}

#[test]
fn a_flash_mends_the_state_block_before_it_changes_it() {
    let disk = Disk::with(&images::debian());
    images::no_kernel().write(&disk.folder().join("image"), "1");
    let places = disk.state_copies();
    damage_copies(&disk, places, [torn(), newer().render()]);
    let before = disk.content();
    disk.flash("oci:image:2", "b", &[]).must_end(3, &["exactly one image"]);
    assert_eq!(disk.changed_since(&before), Vec::<u64>::new(), "what is refused has written nothing");
    // It fails later, for another reason.
    disk.flash("oci:image:1", "b", &[]).must_end(1, &[ONE, "both are written again", "no kernel"]);
    assert_eq!(blocks(&disk, places), [first().render(); 2], "nothing wants slot b any more");
}

#[test]
fn what_stands_in_the_second_sector_does_not_matter() {
    let disk = Disk::with(&images::debian());
    for place in disk.state_copies() {
        disk.file().write_all_at(&[0; SIZE - 512], place + 512).unwrap();
    }
    let status = disk.status();
    assert_eq!((&status["damage"], &status["proven"]), (&json!(null), &json!("a")));
}
