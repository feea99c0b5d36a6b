//! One reader, many writers: every piece goes to every disk that still takes them. The queues are
//! bounded and hold references, so what is in memory does not grow with the number of disks.
//!
//! A disk that is slower than the others is waited for, up to a second in all; from then on it
//! reads the rest by itself, and the others go on (docs/decisions/0029).

use crate::clone::pieces::Piece;
use crate::error::{Result, failed};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Pieces that wait for a disk, at most: 64 MiB.
const QUEUE: usize = 64;
/// How long one disk may hold up others that have nothing left to do, in all.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether others have nothing left to do.
const TICK: Duration = Duration::from_millis(20);

/// Where the pieces for one disk come out.
pub struct Incoming {
    pieces: Receiver<Piece>,
    rest: Arc<AtomicU64>,
}

impl Incoming {
    /// The pieces, as far as they are given to this disk.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> {
        self.pieces.iter()
    }

    /// After the last piece: the byte from which the disk has to read by itself; the end of all
    /// pieces, if there is no more; `None` if the reader failed.
    pub fn rest(&self) -> Option<u64> {
        Some(self.rest.load(Ordering::Acquire)).filter(|rest| *rest != FAILED)
    }
}

/// The reader did not come to its end.
const FAILED: u64 = u64::MAX;

/// Who takes the pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taker {
    /// A disk: if it is slow, it reads by itself.
    Disk,
    /// Who must see every piece, such as the one who hashes them.
    Witness,
}

struct Outgoing {
    taker: Taker,
    /// `None` once it takes no more.
    sender: Option<Sender<Piece>>,
    rest: Arc<AtomicU64>,
    /// How long it has held up others.
    held_up: Duration,
}

/// Gives pieces to all who take them.
#[derive(Default)]
pub struct Spread {
    outgoing: Vec<Outgoing>,
}

impl Spread {
    /// Adds one who takes pieces.
    pub fn add(&mut self, taker: Taker) -> Incoming {
        let (sender, pieces) = bounded(QUEUE);
        let rest = Arc::new(AtomicU64::new(FAILED));
        let (sender, held_up) = (Some(sender), Duration::ZERO);
        self.outgoing.push(Outgoing { taker, sender, rest: Arc::clone(&rest), held_up });
        Incoming { pieces, rest }
    }

    /// Gives all of `pieces`, which end at byte `end`. Fails if one cannot be read, or if nobody is
    /// left who takes them. How many disks read the rest by themselves is returned.
    pub fn run(mut self, pieces: impl Iterator<Item = Result<Piece>>, end: u64) -> Result<usize> {
        let mut alone = 0;
        for piece in pieces {
            let piece = piece?;
            for taker in 0..self.outgoing.len() {
                alone += usize::from(self.give(taker, piece.clone()) == Given::GoesAlone);
            }
            let is_disk = |one: &&Outgoing| one.taker == Taker::Disk;
            if self.outgoing.iter().filter(is_disk).all(|one| one.sender.is_none()) && alone == 0 {
                return Err(failed(
                    "no disk is left that takes what is read",
                    "see why each of them failed, and run the command again",
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
                // Before the queue is closed: the disk looks at it then.
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
        let mut spread = Spread::default();
        let (quick, slow, witness) = (spread.add(Taker::Disk), spread.add(Taker::Disk), spread.add(Taker::Witness));
        let takes = |incoming: Incoming| thread::spawn(move || (incoming.pieces().count(), incoming.rest()));
        let (quick, witness) = (takes(quick), takes(witness));
        assert_eq!(spread.run(zeros(200), 200).unwrap(), 1, "the reader ends although one takes nothing");
        assert_eq!(quick.join().unwrap(), (200, Some(200)));
        assert_eq!(witness.join().unwrap(), (200, Some(200)));
        assert_eq!((slow.pieces().count(), slow.rest()), (QUEUE, Some(QUEUE as u64)), "and knows where it goes on");
    }

    #[test]
    fn one_that_fails_is_left_out_and_without_any_the_reader_stops() {
        let mut spread = Spread::default();
        let (good, bad) = (spread.add(Taker::Disk), spread.add(Taker::Disk));
        drop(bad);
        let good = thread::spawn(move || (good.pieces().count(), good.rest()));
        assert_eq!(spread.run(zeros(500), 500).unwrap(), 0);
        assert_eq!(good.join().unwrap(), (500, Some(500)));
        let mut spread = Spread::default();
        drop(spread.add(Taker::Disk));
        let witness = spread.add(Taker::Witness);
        assert!(spread.run(zeros(10), 10).is_err());
        assert_eq!(witness.rest(), None, "nobody takes what was read for all");
    }

    #[test]
    fn a_source_that_cannot_be_read_is_known_to_all() {
        let mut spread = Spread::default();
        let incoming = spread.add(Taker::Disk);
        let pieces = zeros(3).chain([Err(failed("a bad sector", ""))]);
        assert!(spread.run(pieces, 10).is_err());
        assert_eq!((incoming.pieces().count(), incoming.rest()), (3, None));
    }
}
