//! Fans chunks out from one reader to many writers: every piece goes to every disk that still takes chunks.
//! The queues are bounded and hold references, so memory use does not grow with the number of disks.
//!
//! A disk that is slower than the others is waited for, up to a second in total; from then on it reads the
//! rest by itself, and the others go on (docs/decisions/0029).

use crate::clone::chunks::Piece;
use crate::error::{Result, failed};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Largest number of chunks that wait for one disk: 64 MiB of data.
const QUEUE: usize = 64;
/// Total time for which one disk may hold up others that have nothing left to do.
const PATIENCE: Duration = Duration::from_secs(1);
/// Interval at which the reader checks whether others have nothing left to do.
const TICK: Duration = Duration::from_millis(20);

/// The receiving end of the chunks for one disk.
pub struct Incoming {
    chunks: Receiver<Piece>,
    rest: Arc<AtomicU64>,
}

impl Incoming {
    /// Iterates over the chunks that are given to this disk, until there are no more.
    pub fn chunks(&self) -> impl Iterator<Item = Piece> {
        self.chunks.iter()
    }

    /// Returns, after the last piece, the byte from which the disk has to read by itself; this is the end of
    /// all chunks if nothing is left. Returns `None` if the reader failed.
    pub fn rest(&self) -> Option<u64> {
        Some(self.rest.load(Ordering::Acquire)).filter(|rest| *rest != FAILED)
    }
}

/// Value of `rest` as long as the reader has not finished.
const FAILED: u64 = u64::MAX;

/// The kind of receiver that takes the chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taker {
    /// A disk, which reads by itself if it is slow.
    Disk,
    /// A receiver that must see every piece, such as the hasher.
    Witness,
}

struct Outgoing {
    taker: Taker,
    /// `None` once the receiver takes no more chunks.
    sender: Option<Sender<Piece>>,
    rest: Arc<AtomicU64>,
    /// Total time for which this receiver has held up others.
    held_up: Duration,
}

/// Gives chunks to all receivers.
#[derive(Default)]
pub struct FanOut {
    outgoing: Vec<Outgoing>,
}

impl FanOut {
    /// Adds a receiver; returns its end of the queue.
    pub fn add(&mut self, taker: Taker) -> Incoming {
        let (sender, chunks) = bounded(QUEUE);
        let rest = Arc::new(AtomicU64::new(FAILED));
        let (sender, held_up) = (Some(sender), Duration::ZERO);
        self.outgoing.push(Outgoing { taker, sender, rest: Arc::clone(&rest), held_up });
        Incoming { chunks, rest }
    }

    /// Gives all of `chunks`, which end at byte `end`, to the receivers. Fails if a piece cannot be read, or
    /// if no disk is left. Returns how many disks read the rest by themselves.
    pub fn run(mut self, chunks: impl Iterator<Item = Result<Piece>>, end: u64) -> Result<usize> {
        let mut alone = 0;
        for piece in chunks {
            let piece = piece?;
            for taker in 0..self.outgoing.len() {
                alone += usize::from(self.give(taker, piece.clone()) == Given::GoesAlone);
            }
            let is_disk = |one: &&Outgoing| one.taker == Taker::Disk;
            if self.outgoing.iter().filter(is_disk).all(|one| one.sender.is_none()) && alone == 0 {
                return Err(failed(
                    "no disk is left to copy to",
                    "see why each disk failed, and run the command again",
                ));
            }
        }
        for one in self.outgoing.iter().filter(|one| one.sender.is_some()) {
            one.rest.store(end, Ordering::Release);
        }
        Ok(alone)
    }

    fn give(&mut self, number: usize, mut piece: Piece) -> Given {
        loop {
            let Some(sender) = &self.outgoing[number].sender else { return Given::NotTaken };
            match sender.send_timeout(piece, TICK) {
                Ok(()) => return Given::Taken,
                Err(SendTimeoutError::Disconnected(_)) => {
                    self.outgoing[number].sender = None;
                    return Given::NotTaken;
                }
                Err(SendTimeoutError::Timeout(back)) => piece = back,
            }
            let others_wait = self.outgoing.iter().enumerate().any(|(other, one)| {
                other != number && one.taker == Taker::Disk && one.sender.as_ref().is_some_and(Sender::is_empty)
            });
            let slow = &mut self.outgoing[number];
            if slow.taker == Taker::Disk && others_wait {
                slow.held_up += TICK;
            }
            if slow.held_up > PATIENCE {
                // Stored before the queue is closed, because the disk reads it then.
                slow.rest.store(piece.range().start, Ordering::Release);
                slow.sender = None;
                return Given::GoesAlone;
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Given {
    Taken,
    NotTaken,
    GoesAlone,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn zeros(count: u64) -> impl Iterator<Item = Result<Piece>> {
        (0..count).map(|number| Ok(Piece::Zeros(number..number + 1)))
    }

    #[test]
    fn a_disk_that_stands_still_goes_alone_and_the_others_get_everything() {
        let mut spread = FanOut::default();
        let (quick, slow, witness) = (spread.add(Taker::Disk), spread.add(Taker::Disk), spread.add(Taker::Witness));
        let takes = |incoming: Incoming| thread::spawn(move || (incoming.chunks().count(), incoming.rest()));
        let (quick, witness) = (takes(quick), takes(witness));
        assert_eq!(spread.run(zeros(200), 200).unwrap(), 1, "the reader ends although one takes nothing");
        assert_eq!(quick.join().unwrap(), (200, Some(200)));
        assert_eq!(witness.join().unwrap(), (200, Some(200)));
        assert_eq!((slow.chunks().count(), slow.rest()), (QUEUE, Some(QUEUE as u64)), "and knows where it goes on");
    }

    #[test]
    fn one_that_fails_is_left_out_and_without_any_the_reader_stops() {
        let mut spread = FanOut::default();
        let (good, bad) = (spread.add(Taker::Disk), spread.add(Taker::Disk));
        drop(bad);
        let good = thread::spawn(move || (good.chunks().count(), good.rest()));
        assert_eq!(spread.run(zeros(500), 500).unwrap(), 0);
        assert_eq!(good.join().unwrap(), (500, Some(500)));
        let mut spread = FanOut::default();
        drop(spread.add(Taker::Disk));
        let witness = spread.add(Taker::Witness);
        assert!(spread.run(zeros(10), 10).is_err());
        assert_eq!(witness.rest(), None, "what was read does not count as everything");
    }

    #[test]
    fn a_source_that_cannot_be_read_is_known_to_all() {
        let mut spread = FanOut::default();
        let incoming = spread.add(Taker::Disk);
        let chunks = zeros(3).chain([Err(failed("a bad sector", ""))]);
        assert!(spread.run(chunks, 10).is_err());
        assert_eq!((incoming.chunks().count(), incoming.rest()), (3, None));
    }
}
