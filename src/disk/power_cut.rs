//! Power cuts: the contents that they may leave of the effects on a medium.

use crate::disk::recorder::{Contents, Effect, Recording, SECTOR, pieces};

/// Number of writes before the last one, and after the last flush, of which every subset is a [`Cut`]. Of
/// more, all are lost, all are kept, or every second one is.
const COMBINED: usize = 5;

/// A power cut: its moment, and what it leaves of the writes that no flush has followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Number of effects before the cut.
    pub effects: usize,
    /// Writes since the last flush, but for the last one.
    pub earlier: Earlier,
    /// The last write, if no flush has followed it.
    pub last: Fate,
}

/// The part of several writes that a power cut leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Earlier {
    /// None of them.
    Lost,
    /// All of them.
    Kept,
    /// Those with these positions in the list of effects.
    Only(Vec<usize>),
}

/// The part of one write that a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Lost,
    /// All of it.
    Kept,
    /// Its first sectors, as many as this.
    Begun(usize),
    /// All but its first sectors, as many as this.
    Ended(usize),
}

impl Recording {
    /// Lists the power cuts after each number of effects. The last write is kept or torn at each boundary of
    /// sectors; where it is lost, the cut is one after fewer effects.
    pub fn cuts(&self) -> impl Iterator<Item = Cut> + '_ {
        (0..=self.effects.len()).flat_map(|effects| self.cuts_after(effects))
    }

    fn cuts_after(&self, effects: usize) -> Vec<Cut> {
        let cut = |earlier, last| Cut { effects, earlier, last };
        let unflushed: Vec<usize> = (self.flushed(effects)..effects).collect();
        let Some((last, earlier)) = unflushed.split_last() else { return vec![cut(Earlier::Kept, Fate::Kept)] };
        let mut cuts: Vec<Cut> = subsets(earlier).into_iter().map(|earlier| cut(earlier, Fate::Kept)).collect();
        let both = if earlier.is_empty() { vec![Earlier::Kept] } else { vec![Earlier::Lost, Earlier::Kept] };
        for torn in (1..self.effects[*last].sectors()).flat_map(|first| [Fate::Begun(first), Fate::Ended(first)]) {
            cuts.extend(both.iter().map(|earlier| cut(earlier.clone(), torn)));
        }
        cuts
    }

    /// Returns the number of the first `effects` that are safe: those up to the last flush.
    fn flushed(&self, effects: usize) -> usize {
        self.effects[..effects].iter().rposition(|effect| *effect == Effect::Flush).map_or(0, |last| last + 1)
    }

    /// Returns what the medium holds after a power cut.
    pub fn after(&self, cut: &Cut) -> Contents {
        let flushed = self.flushed(cut.effects);
        let mut contents = self.before.clone();
        for (number, effect) in self.effects[..cut.effects].iter().enumerate() {
            contents.apply(
                effect,
                match &cut.earlier {
                    _ if number < flushed => Fate::Kept,
                    _ if number + 1 == cut.effects => cut.last,
                    Earlier::Only(kept) if !kept.contains(&number) => Fate::Lost,
                    Earlier::Lost => Fate::Lost,
                    Earlier::Kept | Earlier::Only(_) => Fate::Kept,
                },
            );
        }
        contents
    }
}

/// Lists the subsets of a few writes; of many, only some.
fn subsets(writes: &[usize]) -> Vec<Earlier> {
    match writes.len() {
        0 => vec![Earlier::Kept],
        1..=COMBINED => {
            let kept = |mask: u32| (0..).zip(writes).filter(move |(bit, _)| mask >> bit & 1 == 1);
            (0..1 << writes.len()).map(|mask| Earlier::Only(kept(mask).map(|(_, write)| *write).collect())).collect()
        }
        _ => {
            let second = |from: usize| Earlier::Only(writes.iter().skip(from).step_by(2).copied().collect());
            vec![Earlier::Lost, Earlier::Kept, second(0), second(1)]
        }
    }
}

impl Effect {
    /// Returns the number of sectors that the effect touches.
    fn sectors(&self) -> usize {
        let Effect::Write { offset, bytes } = self else { return 0 };
        pieces(within_sector(*offset), bytes.len()).count()
    }
}

impl Contents {
    /// Applies what is left of an effect.
    fn apply(&mut self, effect: &Effect, fate: Fate) {
        let Effect::Write { offset, bytes } = effect else { return };
        let split = |sectors: usize| (sectors * SECTOR - within_sector(*offset)).min(bytes.len());
        let kept = match fate {
            Fate::Lost => 0..0,
            Fate::Kept => 0..bytes.len(),
            Fate::Begun(sectors) => 0..split(sectors),
            Fate::Ended(sectors) => split(sectors)..bytes.len(),
        };
        // Only writes within the medium, which is in memory, are recorded.
        let start = usize::try_from(*offset).unwrap_or(usize::MAX);
        self.put(&bytes[kept.clone()], start + kept.start);
    }
}

/// Returns the position of an offset within its sector.
fn within_sector(offset: u64) -> usize {
    usize::try_from(offset % SECTOR as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::medium::Medium;
    use crate::disk::recorder::Recorder;

    fn bytes(contents: &Contents) -> Vec<u8> {
        let mut bytes = vec![0; 3 * SECTOR];
        contents.get(&mut bytes, 0);
        bytes
    }

    /// Returns what each cut leaves, as the first byte of each sector.
    fn left(recorder: &Recorder) -> Vec<String> {
        let recording = recorder.recording();
        let first = |cut| bytes(&recording.after(&cut)).chunks(SECTOR).map(|sector| char::from(sector[0])).collect();
        let mut left: Vec<String> = recording.cuts().map(first).collect();
        left.sort();
        left.dedup();
        left
    }

    #[test]
    fn a_write_may_be_torn_until_it_is_flushed() {
        let recorder = Recorder::over(Contents::new(vec![b'.'; 3 * SECTOR]));
        recorder.write_all_at(&[b'a'; 3 * SECTOR], 0).unwrap();
        assert_eq!(left(&recorder), ["...", "..a", ".aa", "a..", "aa.", "aaa"]);
        recorder.flush().unwrap();
        recorder.write_all_at(b"b", SECTOR as u64).unwrap();
        assert_eq!(left(&recorder), ["...", "..a", ".aa", "a..", "aa.", "aaa", "aba"]);
    }

    #[test]
    fn any_of_several_writes_may_be_lost_and_none_before_a_flush() {
        let recorder = Recorder::over(Contents::new(vec![b'.'; 3 * SECTOR]));
        recorder.write_all_at(b"a", 0).unwrap();
        recorder.flush().unwrap();
        recorder.write_all_at(b"b", SECTOR as u64).unwrap();
        recorder.write_all_at(b"c", 2 * SECTOR as u64).unwrap();
        assert_eq!(left(&recorder), ["...", "a..", "a.c", "ab.", "abc"]);
    }
}
