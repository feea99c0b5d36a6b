//! Random images, unpacked by umoci and by flipslot.

use super::umoci::Both;
use crate::support::layout::Packing;
use crate::support::tar::{Item, character, dir, fifo, file, hardlink, opaque, symlink, whiteout};

/// How many images are made, from the seeds 1 to this.
pub const IMAGES: u64 = 200;

/// xorshift64 (Marsaglia, "Xorshift RNGs", 2003): the same numbers for the same seed, everywhere.
pub struct Random(u64);

impl Random {
    /// A row of numbers of its own for each seed.
    pub fn new(seed: u64) -> Random {
        // A seed of few bits gives few bits for a while (op. cit.).
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for _ in 0..10 {
            random.below(2);
        }
        random
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    pub fn of<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.below(words.len())]
    }

    /// A directory that is likely to be there.
    fn folder(&mut self) -> &'static str {
        self.of(&["", "a/", "b/", "a/s/", "b/s/", "a/s/t/", "c/"])
    }

    /// Where a file may stand. No directory has such a name, so that most images are whole.
    fn leaf(&mut self) -> String {
        format!("{}{}", self.folder(), self.of(&["f", "g", "h"]))
    }

    fn time(&mut self) -> (i64, u32) {
        (self.below(1_500_000_000) as i64 - 1_000_000, [0, 1, 999_999_999][self.below(3)])
    }
}

#[test]
fn random_images_are_the_same_to_both() {
    assert_same(1, IMAGES);
}

/// Two thousand others, in some minutes.
#[test]
#[ignore = "two thousand images: make test-all"]
fn two_thousand_random_images_are_the_same_to_both() {
    assert_same(IMAGES + 1, IMAGES + 2000);
}

fn assert_same(first: u64, last: u64) {
    let mut refused = 0;
    for seed in first..=last {
        let layers = image(seed);
        let both = Both::unpack(&layers, if seed % 2 == 0 { Packing::Gzip } else { Packing::Plain });
        if both.umoci.is_err() {
            refused += 1;
            continue;
        }
        if let Err(error) = &both.flipslot {
            panic!("seed {seed}: umoci takes what flipslot refuses: {error:#}\n{}", story(&layers));
        }
        let difference = both.difference();
        assert!(difference.is_empty(), "seed {seed}: - umoci, + flipslot:\n{difference}\n{}", story(&layers));
    }
    let all = last - first + 1;
    assert!(refused <= all / 4, "{refused} of {all} images were not compared");
}

/// Two to five layers: the lowest makes every directory, the others change it.
pub fn image(seed: u64) -> Vec<Vec<Item>> {
    let mut random = Random::new(seed);
    let mut lowest = Vec::new();
    for name in ["./", "a", "b", "a/s", "b/s", "a/s/t"] {
        lowest.push(directory(&mut random, name));
    }
    lowest.push(symlink("c", random.of(&["a", "/b/s", "a/../a/s"])));
    let mut layers = vec![lowest];
    for _ in 0..2 + random.below(3) {
        let mut made = Vec::new();
        layers.push((0..1 + random.below(12)).map(|_| entry(&mut random, &mut made)).collect());
    }
    layers
}

fn directory(random: &mut Random, name: &str) -> Item {
    let (seconds, nanoseconds) = random.time();
    // No setgid: directories that no entry describes inherit it with umoci, and not with flipslot.
    let mode = [0o755, 0o700, 0o1777, 0o711][random.below(4)];
    dir(name).mode(mode).owner(random.below(3) as u64, random.below(3) as u64).mtime(seconds, nanoseconds)
}

/// One entry; `made` are the leaves that this layer made so far, which hard links can name.
fn entry(random: &mut Random, made: &mut Vec<String>) -> Item {
    let (seconds, nanoseconds) = random.time();
    let leaf = random.leaf();
    let name = leaf.clone();
    let item = match random.below(14) {
        0..=3 => file(leaf, random.of(&["", "one", "two"])).mode([0o644, 0o755, 0o4755][random.below(3)]),
        4 => symlink(leaf, random.of(&["f", "/a", "../b", "nowhere", "/etc/passwd", "../../.."])),
        5 if !made.is_empty() => hardlink(leaf, &made[random.below(made.len())]),
        5..=6 => fifo(leaf),
        7 => character(leaf, 1, [3, 5, 7][random.below(3)]),
        8..=9 => {
            let name = random_directory(random.below(5));
            return directory(random, name);
        }
        10..=11 => return whiteout(&leaf),
        12 => return whiteout(random_directory(random.below(5))),
        _ => return opaque(random_directory(random.below(5))),
    };
    made.push(name);
    let item = if random.below(4) == 0 { item.xattr("trusted.mark", random.of(&["x", "y"])) } else { item };
    item.owner(random.below(3) as u64, random.below(3) as u64).mtime(seconds, nanoseconds)
}

fn random_directory(number: usize) -> &'static str {
    ["a", "b", "a/s", "b/s", "a/s/t"][number]
}

/// The image as a reader of a failure needs it, an entry a line.
pub fn story(layers: &[Vec<Item>]) -> String {
    let lines = layers
        .iter()
        .enumerate()
        .flat_map(|(number, layer)| layer.iter().map(move |item| format!("layer {number}: {item}")));
    lines.collect::<Vec<_>>().join("\n")
}
