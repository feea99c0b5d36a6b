//! The state block, which GRUB reads first and writes when it tries a slot; and the state that follows each
//! event. Everything here is pure: [`crate::disk::installed::boot_files`] reads and writes the bytes.

use crate::boot::trial::{BootedBy, Terms};
use crate::words::slot::Slot;

/// Size of a GRUB environment block in bytes (GRUB manual, "Environment block").
pub const SIZE: usize = 1024;
/// Size in bytes of the first sector, which contains all data, and which a disk writes completely or not at all.
const LIVE: usize = 512;
/// First line, which GRUB requires (grub-core/lib/envblk.c, GRUB_ENVBLK_SIGNATURE).
const SIGNATURE: &str = "# GRUB Environment Block\n";
/// Number of times that GRUB tries a slot that was confirmed after a kexec, before it falls back.
const TRIES: u8 = 3;

/// Choice of the slot that boots next, and of its fallback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// Slot that should boot next.
    pub wanted: Slot,
    /// Fallback: the slot that has come up from the firmware, or the first one on a new disk.
    pub proven: Slot,
    /// Number of times that `wanted` may still be tried if it is not `proven`: 0 to 3.
    pub tries: u8,
    /// Slot that was proven before, as long as its contents are the same as then.
    pub before: Option<Slot>,
    /// Terms of the trials of `wanted` by the firmware; `None` in a block that 0.1 wrote, and without a trial.
    pub terms: Option<Terms>,
}

impl State {
    /// Makes the state of a new disk: it boots its first slot, and nothing is on trial.
    pub fn first(slot: Slot) -> State {
        State { wanted: slot, proven: slot, tries: 0, before: None, terms: None }
    }

    /// Returns the slot that GRUB boots at the next reset.
    pub fn next_boot(self) -> Slot {
        if self.wanted != self.proven && self.tries > 0 { self.wanted } else { self.proven }
    }

    /// Returns the state to write before `slot` is flashed, in which nothing points at it. `None` if it is the
    /// fallback, which must stay bootable.
    pub fn flashing(self, slot: Slot) -> Option<State> {
        let before = self.before.filter(|before| *before != slot);
        (slot != self.proven).then(|| State { before, ..self }.not_wanting(slot))
    }

    /// Returns the state in which GRUB tries `slot` once, on these terms.
    pub fn trying(self, slot: Slot, terms: Terms) -> State {
        let (tries, terms) = if slot == self.proven { (0, None) } else { (1, Some(terms)) };
        State { wanted: slot, tries, terms, ..self }
    }

    /// Returns the terms on which `slot` is tried by the firmware, if it is and they are known.
    pub fn terms_of(self, slot: Slot) -> Option<Terms> {
        self.terms.filter(|_| slot == self.wanted && slot != self.proven)
    }

    /// Returns the state to write before a kexec into `slot`: the jump is the try, so a reset must not lead there.
    pub fn jumping(self, slot: Slot) -> State {
        self.not_wanting(slot)
    }

    /// Returns the state after `slot` has come up healthy. After a kexec it has not been booted by the firmware
    /// yet: GRUB tries that, with the old slot as fallback, on the terms of the trial that was just confirmed.
    pub fn confirmed(self, slot: Slot, by: BootedBy, terms: Terms) -> State {
        match by {
            _ if slot == self.proven => State { wanted: slot, tries: 0, terms: None, ..self },
            BootedBy::Kexec => State { wanted: slot, tries: TRIES, terms: Some(terms), ..self },
            BootedBy::Firmware | BootedBy::Proven => self.promoted(slot),
        }
    }

    /// Returns the state in which `slot` is the fallback.
    pub fn promoted(self, slot: Slot) -> State {
        let before = if slot == self.proven { self.before } else { Some(self.proven) };
        State { wanted: slot, proven: slot, tries: 0, before, terms: None }
    }

    /// Returns the state that leads back from `running` to the slot that was proven before it, which is the new
    /// `proven`; `None` if there is none.
    pub fn rolled_back(self, running: Slot) -> Option<State> {
        if running == self.proven {
            return self.before.map(|before| self.promoted(before));
        }
        Some(State { wanted: self.proven, tries: 0, terms: None, ..self })
    }

    fn not_wanting(self, slot: Slot) -> State {
        if self.wanted == slot && slot != self.proven {
            return State { wanted: self.proven, tries: 0, terms: None, ..self };
        }
        self
    }

    /// Returns the block's bytes. `end=1` comes last, so that a block that was cut short can be recognised.
    pub fn render(&self) -> [u8; SIZE] {
        let State { wanted, proven, tries, before, terms } = self;
        let before = before.map(|slot| slot.to_string()).unwrap_or_default();
        let terms = terms.map(|Terms { confirm, deadline }| format!("confirm={confirm}\ndeadline={deadline}\n"));
        let terms = terms.unwrap_or_default();
        let text =
            format!("{SIGNATURE}wanted={wanted}\nproven={proven}\ntries={tries}\nbefore={before}\n{terms}end=1\n");
        debug_assert!(text.len() <= LIVE, "a few short lines fit a sector");
        let mut block = [b'#'; SIZE];
        block[..text.len()].copy_from_slice(text.as_bytes());
        block
    }

    /// Reads the state in a block, as GRUB does: later lines win, and unknown keys are ignored. `None` if the block
    /// is incomplete or invalid.
    pub fn parse(block: &[u8]) -> Option<State> {
        let text = std::str::from_utf8(block.strip_prefix(SIGNATURE.as_bytes())?).ok()?;
        let value = |key: &str| {
            text.lines().rev().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
        };
        let slot = |key: &str| -> Option<Slot> { value(key)?.parse().ok() };
        if value("end")? != "1" || block.len() != SIZE {
            return None;
        }
        let tries = value("tries")?.parse().ok().filter(|tries| *tries <= TRIES)?;
        let terms = Terms::of_block(value("confirm").as_deref(), value("deadline").as_deref());
        Some(State { wanted: slot("wanted")?, proven: slot("proven")?, tries, before: slot("before"), terms })
    }
}

/// State that follows from the two copies of the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// State that both copies have.
    Whole(State),
    /// State of the copy that counts, and the reason why the other one must be written again.
    Half(State, &'static str),
    /// No valid copy: GRUB boots slot a, or else the first slot that has an image.
    Neither,
}

impl Copies {
    /// Reads both copies. Copy 1 counts if it is valid, because it is written first; GRUB does the same.
    pub fn parse(first: &[u8], second: &[u8]) -> Copies {
        match (State::parse(first), State::parse(second)) {
            (Some(one), Some(two)) if one == two => Copies::Whole(one),
            (Some(one), Some(_)) => Copies::Half(one, "copy 2 of the state block was older than copy 1"),
            (Some(one), None) => Copies::Half(one, "copy 2 of the state block was not whole"),
            (None, Some(two)) => Copies::Half(two, "copy 1 of the state block was not whole"),
            (None, None) => Copies::Neither,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::ledger::Confirm;

    fn slot(letter: &str) -> Slot {
        letter.parse().unwrap()
    }

    #[test]
    fn the_first_sector_holds_all_and_the_second_only_padding() {
        let state = State { wanted: slot("z"), proven: slot("a"), tries: 3, before: Some(slot("b")), terms: None };
        let block = state.render();
        let text = std::str::from_utf8(&block).unwrap();
        assert!(text.starts_with("# GRUB Environment Block\nwanted=z\nproven=a\ntries=3\nbefore=b\nend=1\n###"));
        assert!(block[LIVE..].iter().all(|byte| *byte == b'#'));
        assert_eq!(State::parse(&block), Some(state));
        assert_eq!(State::parse(&State::first(slot("a")).render()), Some(State::first(slot("a"))));
    }

    #[test]
    fn a_block_that_was_cut_is_no_state() {
        let whole = State::first(slot("a")).render();
        let mut torn = whole;
        torn[60..].fill(0);
        for block in [&b""[..], &whole[..700], &[0; SIZE], &[b'#'; SIZE], &torn, b"# GRUB Environment Block\n"] {
            assert_eq!(State::parse(block), None);
        }
        let other = State::first(slot("b"));
        assert_eq!(Copies::parse(&whole, &whole), Copies::Whole(State::first(slot("a"))));
        assert!(matches!(Copies::parse(&torn, &other.render()), Copies::Half(state, _) if state == other));
        assert!(matches!(Copies::parse(&whole, &torn), Copies::Half(state, _) if state == State::first(slot("a"))));
        assert!(matches!(Copies::parse(&whole, &other.render()), Copies::Half(state, _) if state.proven == slot("a")));
        assert_eq!(Copies::parse(&torn, &torn), Copies::Neither);
    }

    #[test]
    fn the_fallback_cannot_be_flashed_and_what_was_flashed_is_no_way_back() {
        let (a, b) = (slot("a"), slot("b"));
        let state = State::first(a).confirmed(b, BootedBy::Firmware, Terms::default());
        assert_eq!(state, State { wanted: b, proven: b, tries: 0, before: Some(a), terms: None });
        assert_eq!(state.flashing(b), None);
        assert_eq!(state.rolled_back(b).unwrap().proven, a);
        assert_eq!(state.flashing(a).unwrap().rolled_back(b), None);
    }

    #[test]
    fn proven_by_kexec_is_not_proven_by_firmware() {
        let (a, b) = (slot("a"), slot("b"));
        let terms = Terms { confirm: Confirm::Manual, deadline: 90 };
        let state = State::first(a).jumping(b).confirmed(b, BootedBy::Kexec, terms);
        assert_eq!(state, State { wanted: b, proven: a, tries: 3, before: None, terms: Some(terms) });
        let proven = state.confirmed(b, BootedBy::Firmware, terms);
        assert_eq!((proven.proven, proven.terms), (b, None));
    }

    #[test]
    fn the_terms_of_a_trial_by_firmware_are_in_the_block_and_hold_for_that_slot_alone() {
        let (a, b) = (slot("a"), slot("b"));
        let terms = Terms { confirm: Confirm::Manual, deadline: 604_800 };
        let state = State::first(a).trying(b, terms);
        assert_eq!(State::parse(&state.render()), Some(state));
        assert_eq!((state.terms_of(b), state.terms_of(a)), (Some(terms), None));
        assert_eq!(State::first(a).trying(a, terms).terms, None);
        for gone in [state.flashing(b).unwrap(), state.rolled_back(b).unwrap(), state.jumping(b)] {
            assert_eq!(gone.terms, None);
        }
        // GRUB rewrites one key in place, and leaves the others alone.
        let text = String::from_utf8(state.render().to_vec()).unwrap().replace("tries=1", "tries=0");
        assert_eq!(State::parse(text.as_bytes()).unwrap().terms_of(b), Some(terms));
        let odd = String::from_utf8(state.render().to_vec()).unwrap().replace("confirm=manual", "confirm=man\x1bal");
        assert_eq!(State::parse(odd.as_bytes()).unwrap().terms.unwrap().confirm, Confirm::Manual);
    }
}
