//! Makes all copies at the same time: one thread reads, one hashes, and one per disk writes.

use crate::clone::chunks::Chunks;
use crate::clone::fan_out::{FanOut, Incoming, Taker};
use crate::clone::golden::Master;
use crate::clone::hashes::Hashes;
use crate::clone::one;
use crate::clone::one::{Copy, Shared};
use crate::clone::targets::Claimed;
use crate::clone::unit::CHUNK;
use crate::error::{Result, failed};
use crate::mount::scratch::Scratch;
use crate::progress::Progress;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// The result for one disk.
pub struct Outcome {
    /// Path as the user wrote it.
    pub path: PathBuf,
    /// Serial number that the disk reports; a disk file has none.
    pub serial: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes of data that were written; zeros are not counted.
    pub written: u64,
    /// Time from the start of the copy to its end.
    pub elapsed: Duration,
    /// The copy, or why there is none; in that case the disk does not boot.
    pub result: Result<Copy>,
}

/// Makes every disk a copy. A failure on one disk does not affect the others.
pub fn run(master: Master, targets: Vec<Claimed>, scratch: &Scratch, progress: &Progress) -> Vec<Outcome> {
    let Master { source, golden } = master;
    let shared = Shared { source, golden, hashes: OnceLock::new(), scratch, progress };
    let mut spread = FanOut::default();
    let witness = spread.add(Taker::Witness);
    let targets: Vec<_> = targets.into_iter().map(|target| (target, spread.add(Taker::Disk))).collect();
    let range = CHUNK..golden.table.end();
    thread::scope(|scope| {
        let start = |(claimed, incoming): (Claimed, Incoming)| {
            (claimed.name(), scope.spawn(|| copy(claimed, incoming, &shared)))
        };
        let copies: Vec<_> = targets.into_iter().map(start).collect();
        let hashes = scope.spawn({
            let range = range.clone();
            move || Hashes::of(&witness, range)
        });
        let read = spread.run(Chunks::new(source, range.start, range.end), range.end);
        let hashes = hashes.join().unwrap_or(None);
        let all = read
            .and_then(|_| source.refuse_if_changed())
            .and_then(|()| hashes.ok_or_else(|| failed("what was read could not be hashed", "run the command again")));
        // No other thread sets it.
        let _ = shared.hashes.set(all.map_err(|error| format!("{error:#}")));
        let outcome = |((path, serial, size), copy): (_, ScopedJoinHandle<Outcome>)| {
            copy.join().unwrap_or_else(|_| broken(path, serial, size))
        };
        copies.into_iter().map(outcome).collect()
    })
}

/// Returns the outcome of a thread that panicked, which has already said why on stderr.
fn broken(path: PathBuf, serial: Option<String>, size: u64) -> Outcome {
    let result = Err(failed("the thread for this disk panicked", "report it, with the message on stderr"));
    Outcome { path, serial, size, written: 0, elapsed: Duration::ZERO, result }
}

fn copy(claimed: Claimed, incoming: Incoming, shared: &Shared) -> Outcome {
    let begin = Instant::now();
    let Claimed { path, serial, size, sink } = claimed;
    let mut written = 0;
    let made = one::make(&sink, incoming, shared, &mut written);
    // A disk file gets its name now.
    let result = made.and_then(|copy| sink.into_target().finish().publish().map(|()| copy));
    Outcome { path, serial, size, written, elapsed: begin.elapsed(), result }
}
