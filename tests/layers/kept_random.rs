//! Random images, written into a slot and kept in memory: the same comes of both.

use super::sandbox;
use super::umoci_random::{Random, image, story};
use crate::support::tar::{Item, Tar, character, dir, fifo, file, hardlink, opaque, symlink, whiteout};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many images of each kind are made, from the seeds 1 to this.
const IMAGES: u64 = 40;

/// Applies one layer after the other to a sandbox, which compares; returns how many were not refused.
fn compared(seed: u64, layers: &[Vec<Item>]) -> usize {
    let slot = sandbox();
    let is_taken = |layer: &&Vec<Item>| slot.apply(&[Tar::of(layer.iter().cloned())]).is_ok();
    let compared = catch_unwind(AssertUnwindSafe(|| layers.iter().take_while(is_taken).count()));
    compared.unwrap_or_else(|_| panic!("seed {seed}:\n{}", story(layers)))
}

#[test]
fn random_images_are_the_same_in_memory() {
    let layers: usize = (1..=IMAGES).map(|seed| compared(seed, &image(seed))).sum();
    assert!(layers > 100, "only {layers} layers were compared");
}

#[test]
fn random_images_full_of_links_are_the_same_in_memory() {
    let layers: usize = (1..=IMAGES).map(|seed| compared(seed, &wild(seed))).sum();
    assert!(layers > 40, "only {layers} layers were compared");
}

/// Two to five layers of entries whose every name may be a file, a link or a directory.
fn wild(seed: u64) -> Vec<Vec<Item>> {
    let mut random = Random::new(seed);
    (0..2 + random.below(4)).map(|_| (0..1 + random.below(6)).map(|_| entry(&mut random)).collect()).collect()
}

fn entry(random: &mut Random) -> Item {
    let path = path(random);
    let label = random.below(4) == 0;
    let item = match random.below(12) {
        0..=2 => file(path, random.of(&["", "one", "two"])).mode([0o644, 0o755, 0][random.below(3)]),
        3..=4 => dir(path).mode([0o755, 0o1777, 0][random.below(3)]),
        5..=7 => symlink(path, random.of(&["a", "b", "/a/b", "..", ".", "../b", "a/", "/", "c/./a", "b//", "gone/c"])),
        8 => return hardlink(path, self::path(random)),
        9 => return whiteout(&path),
        10 => return opaque(&path),
        _ if label => fifo(path),
        _ => character(path, 1, 3),
    };
    if label { item.xattr("security.selinux", "label") } else { item }
}

fn path(random: &mut Random) -> String {
    let names: Vec<&str> = (0..1 + random.below(3)).map(|_| random.of(&["a", "b", "c"])).collect();
    names.join("/")
}
