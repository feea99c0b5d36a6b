//! Limits: what an archive claims is not believed, and what it sends is not kept in memory.

use super::{PLENTY, sandbox};
use crate::support::tar::{Tar, dir, file, odd, pax, record};
use flipslot::layer::Budget;
use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a reader may take of an endless stream before it must have given up: 1 MiB of extended
/// headers, and the buffers.
const PROMPT: u64 = 2 << 20;

/// An archive that goes on for ever, and how much of it was read.
struct Endless<R> {
    source: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Endless<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Applies `source`, which must be refused; returns why, and how many bytes were read till then.
fn refused(source: impl Read, budget: Budget) -> (String, u64) {
    let read = Arc::new(AtomicU64::new(0));
    let slot = sandbox();
    let layer = BufReader::new(Endless { source, read: Arc::clone(&read) });
    let error = slot.apply_within(&mut budget.clone(), layer).expect_err("refused");
    (format!("{error:#}"), read.load(Ordering::Relaxed))
}

#[test]
fn a29_an_extended_header_of_8_gib_is_refused_before_it_is_read() {
    const CLAIMED: u64 = 8 << 30;
    for kind in [b'x', b'g', b'L', b'K'] {
        let header = Tar::default().add(odd(kind, "header", "").claiming(CLAIMED.into())).unfinished();
        let (text, read) = refused(io::Cursor::new(header).chain(io::repeat(b'9').take(CLAIMED)), PLENTY);
        assert!(text.contains("the limit is 1 MiB"), "{text}");
        assert!(read < PROMPT, "{read} bytes were read");
    }
}

#[test]
fn a29_an_endless_row_of_extended_headers_is_refused() {
    for item in
        [pax(record("comment", "c".repeat(400))), odd(b'L', "name", "n".repeat(500)), odd(b'g', "g", "g".repeat(500))]
    {
        let one = Tar::default().add(item).unfinished();
        let (text, read) = refused(Again::new(one), PLENTY);
        assert!(text.contains("the limit is 1 MiB"), "{text}");
        // Each header costs a block beside its content.
        assert!(read < 2 * PROMPT, "{read} bytes were read");
    }
}

#[test]
fn a30_sparse_files_that_cannot_be_are_refused() {
    const CLAIMED: i128 = i64::MAX as i128;
    let gnu = odd(b'S', "sparse", "").claiming(512).patch(483, crate::support::tar::number(CLAIMED, 12));
    let by_pax = |key: &str, value: &str| file("sparse", "1\n0\n").record(key, value);
    for item in [
        gnu,
        by_pax("GNU.sparse.major", "1"),
        by_pax("GNU.sparse.realsize", "9223372036854775807"),
        by_pax("GNU.sparse.map", "0,1,2,3"),
        by_pax("GNU.sparse.size", "9"),
    ] {
        let layer = Tar::default().add(item).unfinished();
        let (text, read) = refused(io::Cursor::new(layer).chain(io::repeat(b'1')), PLENTY);
        assert!(text.contains("sparse file"), "{text}");
        assert!(read < PROMPT, "{read} bytes were read");
    }
}

#[test]
fn a30_a_file_that_claims_8_eib_is_refused_before_any_of_it_is_read() {
    for item in [file("huge", "").claiming(i64::MAX.into()), file("huge", "").record("size", i64::MAX.to_string())] {
        let layer = Tar::default().add(item).unfinished();
        let (text, read) = refused(io::Cursor::new(layer).chain(io::repeat(0)), PLENTY);
        assert!(text.contains("writing /huge") && text.contains("do not fit"), "{text}");
        assert!(read < PROMPT, "{read} bytes were read");
    }
}

#[test]
fn a34_more_entries_than_the_slot_has_inodes_are_refused() {
    let slot = sandbox();
    let layer = |entries: usize| Tar::of((0..entries).map(|n| file(format!("f{n}"), "")));
    let budget = Budget { entries: 100, ..PLENTY };
    slot.apply_within(&mut budget.clone(), &layer(100)[..]).unwrap();
    let text = format!("{:#}", slot.apply_within(&mut budget.clone(), &layer(101)[..]).unwrap_err());
    assert!(text.contains("writing /f100") && text.contains("more files than"), "{text}");
}

#[test]
fn a34_an_endless_row_of_entries_is_refused() {
    for item in [file("x", ""), dir("x"), file(".wh.x", "")] {
        let one = Tar::default().add(item).unfinished();
        let (text, _) = refused(Again::new(one), Budget { entries: 1000, ..PLENTY });
        assert!(text.contains("more files than the slot can hold"), "{text}");
    }
}

#[test]
fn a36_a_file_larger_than_the_slot_is_refused_before_it_is_written() {
    let slot = sandbox();
    let layer = Tar::of([file("fits", "x".repeat(1000)), file("large", "x".repeat(1001))]);
    let mut budget = Budget { bytes: 2000, ..PLENTY };
    let text = format!("{:#}", slot.apply_within(&mut budget, &layer[..]).unwrap_err());
    assert!(text.contains("writing /large") && text.contains("do not fit"), "{text}");
    assert_eq!(slot.tree().names(), ["fits"]);
}

#[test]
fn a36_files_that_are_larger_than_the_slot_together_are_refused() {
    let slot = sandbox();
    let mut budget = Budget { bytes: 2500, ..PLENTY };
    let layer = |name: &str| Tar::of([file(name, "x".repeat(1000))]);
    // The running total spans layers, also where the later one replaces the earlier one's file.
    for name in ["one", "two"] {
        slot.apply_within(&mut budget, &layer(name)[..]).unwrap();
    }
    let error = slot.apply_within(&mut budget, &layer("one")[..]).unwrap_err();
    assert!(flipslot::error::hint(&error).unwrap().contains("--slot-size"));
}

/// Bytes that come again and again, without end.
struct Again {
    bytes: Vec<u8>,
    at: usize,
}

impl Again {
    fn new(bytes: Vec<u8>) -> Again {
        Again { bytes, at: 0 }
    }
}

impl Read for Again {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.at %= self.bytes.len();
        let length = (&self.bytes[self.at..]).read(buffer)?;
        self.at += length;
        Ok(length)
    }
}
