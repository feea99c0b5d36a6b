//! The state block, damaged as power cuts and other programs damage it: it is told, left alone by who
//! only looks, and mended by the next command that changes the disk.

use crate::cli::images;
use crate::support::disk::Disk;
use flipslot::boot::state::{SIZE, State};
use serde_json::json;
use std::os::unix::fs::FileExt;

const SIGNATURE: &[u8] = b"# GRUB Environment Block\n";

fn first() -> State {
    State::first("a".parse().unwrap())
}

/// Slot b was confirmed after a kexec, and the firmware has yet to try it.
fn newer() -> State {
    State { wanted: "b".parse().unwrap(), tries: 3, ..first() }
}

/// A block of which only the second sector came to the disk.
fn torn() -> [u8; SIZE] {
    let mut block = first().render();
    block[..512].fill(0);
    block
}

/// A block that ends before its last line.
fn endless() -> [u8; SIZE] {
    let whole = String::from_utf8(first().render().to_vec()).unwrap();
    whole.replace("end=1\n", "######").into_bytes().try_into().unwrap()
}

/// Something else, which is shorter than a block: the rest of the block is still there.
fn text() -> [u8; SIZE] {
    let mut block = first().render();
    block[..700].copy_from_slice(&b"not what GRUB reads\n".repeat(35));
    block
}

#[test]
fn a_damaged_copy_is_told_left_alone_by_status_and_mended_by_the_next_flash() {
    const ONE: &str = "copy 1 of the state block was not whole";
    const TWO: &str = "copy 2 of the state block was not whole";
    const OLDER: &str = "copy 2 of the state block was older than copy 1";
    const NEITHER: &str = "neither copy of the state block was whole";
    let disk = Disk::with(&images::debian());
    images::no_kernel().write(&disk.folder().join("image"), "1");
    let places = disk.state_copies();
    let copies = || {
        places.map(|place| {
            let mut block = [0; SIZE];
            disk.file().read_exact_at(&mut block, place).unwrap();
            block
        })
    };
    assert_eq!(copies(), [first().render(); 2], "they are where they were looked for");
    for (damage, one, two, sentence, next_boot) in [
        ("copy 1 torn at 512", torn(), newer().render(), ONE, "b"),
        ("copy 2 torn at 512", newer().render(), torn(), TWO, "b"),
        ("copy 1 empty", [0; SIZE], first().render(), ONE, "a"),
        ("copy 1 a text", text(), newer().render(), ONE, "b"),
        ("copy 1 without end", endless(), newer().render(), ONE, "b"),
        ("copy 2 without end", first().render(), endless(), TWO, "a"),
        ("copy 2 older", newer().render(), first().render(), OLDER, "b"),
        ("both empty", [0; SIZE], [0; SIZE], NEITHER, "a"),
        ("both without end", endless(), endless(), NEITHER, "a"),
    ] {
        disk.file().write_all_at(&one, places[0]).unwrap();
        disk.file().write_all_at(&two, places[1]).unwrap();
        let before = disk.content();
        let status = disk.status();
        assert_eq!((&status["damage"], &status["next_boot"]), (&json!(sentence), &json!(next_boot)), "{damage}");
        assert!(disk.status_text().contains(&format!("{sentence}; the next command that changes this disk mends it")));
        assert_eq!(disk.changed_since(&before), Vec::<u64>::new(), "{damage}: who looks changes nothing");

        // It fails later, for another reason: the block is mended first.
        let flash = disk.flash("oci:image:1", "b", &[]);
        flash.must_end(1, &[&format!("flipslot: {sentence}; both are written again: slot a is proven"), "no kernel"]);
        assert_eq!(copies(), [first().render(); 2], "{damage}: nothing points at slot b");
        assert!(copies().iter().all(|copy| copy.starts_with(SIGNATURE)));
        assert_eq!(disk.status()["damage"], json!(null), "{damage}");
    }
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
