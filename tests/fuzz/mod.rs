//! Every reader of strangers' bytes, given mutants of valid ones: none may panic, and none may take memory or time
//! without bound. `make test` runs each for a second; `FLIPSLOT_FUZZ_SECONDS` sets another time
//! (make fuzz), `FLIPSLOT_FUZZ_ONLY` names one reader.
//!
//! The mutants come from a seed, which a failure prints with the input. The corpus is in the code: what the other tests
//! and the fixtures hold.

mod corpus;
mod mutate;
mod readers;

use crate::fuzz::mutate::Random;
use crate::fuzz::readers::{READERS, Reader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Longest mutant in bytes.
const LONGEST: usize = 64 * 1024;

fn seconds() -> u64 {
    std::env::var("FLIPSLOT_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn seed() -> u64 {
    std::env::var("FLIPSLOT_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Reads mutants of a reader's corpus until the time is over; returns how many.
fn run(reader: &Reader, time: Duration, seed: u64) -> u64 {
    let corpus = (reader.corpus)();
    for valid in &corpus {
        (reader.read)(valid);
    }
    let mut random = Random::of(seed);
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < time {
        let mutant = mutate::mutant(&corpus, LONGEST, &mut random);
        let read = catch_unwind(AssertUnwindSafe(|| (reader.read)(&mutant)));
        assert!(read.is_ok(), "{} panics, seed {seed}, mutant {count}: {}", reader.name, mutant.escape_ascii());
        count += 1;
    }
    count
}

#[test]
fn no_reader_panics_on_mutants_of_what_it_reads() {
    let time = Duration::from_secs(seconds());
    let only = std::env::var("FLIPSLOT_FUZZ_ONLY").ok();
    for reader in READERS.iter().filter(|reader| only.as_ref().is_none_or(|name| name == reader.name)) {
        let count = run(reader, time, seed());
        println!("{}: {count} mutants in {} s", reader.name, time.as_secs());
        assert!(count > 0);
    }
}

#[test]
fn every_corpus_holds_something_that_its_reader_accepts() {
    for reader in READERS {
        let accepted = (reader.corpus)().iter().filter(|valid| (reader.read)(valid)).count();
        assert!(accepted > 0, "{}", reader.name);
    }
}
