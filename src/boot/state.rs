//! The state block: what GRUB reads first and writes when it tries a slot.

use crate::slot::Slot;

/// Size of a GRUB environment block in bytes (GRUB manual, "Environment block").
pub const SIZE: usize = 1024;
/// All that matters stands in the first sector, which a disk writes whole or not at all.
const LIVE: usize = 512;
/// The first line that GRUB wants (grub-core/lib/envblk.c, GRUB_ENVBLK_SIGNATURE).
const SIGNATURE: &str = "# GRUB Environment Block\n";

/// Which slot boots next, and which is the fallback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The slot that should boot next.
    pub wanted: Slot,
    /// The slot that has come up from the firmware, or the first one on a new disk.
    pub proven: Slot,
    /// How often `wanted` may still be tried if it is not `proven`: 0 to 3.
    pub tries: u8,
}

impl State {
    /// A new disk boots its first slot, and nothing is on trial.
    pub fn first(slot: Slot) -> State {
        State { wanted: slot, proven: slot, tries: 0 }
    }

    /// The block's bytes; `end=1` comes last, so that a block that ends early is known to.
    pub fn render(&self) -> [u8; SIZE] {
        let State { wanted, proven, tries } = self;
        let text = format!("{SIGNATURE}wanted={wanted}\nproven={proven}\ntries={tries}\nend=1\n");
        debug_assert!(text.len() <= LIVE, "three short lines fit a sector");
        let mut block = [b'#'; SIZE];
        block[..text.len()].copy_from_slice(text.as_bytes());
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sector_holds_all_and_the_second_only_padding() {
        let block = State { wanted: Slot::at(25).unwrap(), proven: Slot::at(0).unwrap(), tries: 3 }.render();
        let text = std::str::from_utf8(&block).unwrap();
        assert!(text.starts_with("# GRUB Environment Block\nwanted=z\nproven=a\ntries=3\nend=1\n###"));
        assert!(block[LIVE..].iter().all(|byte| *byte == b'#'));
    }
}
