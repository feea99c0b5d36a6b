//! Digests of the golden disk, one per MiB, and the comparison of each copy with them. The comparison uses
//! BLAKE3, which takes a third of the time of SHA-256 and is computed once for every disk; the digest that is
//! reported is SHA-256.

use crate::clone::chunks::{Piece, memory};
use crate::clone::fan_out::Incoming;
use crate::clone::unit::{CHUNK, CHUNK_LENGTH};
use crate::clone::writer::Sink;
use crate::error::{Result, failed};
use crate::words::digest::{Digest, Hasher};
use sha2::{Digest as _, Sha256};
use std::ops::Range;

/// Distance between probes of a range of zeros, in bytes: since the kernel promises the zeros, only one page
/// per distance is read back, and the two ends.
const PROBES: u64 = 16 * CHUNK;
/// Length of a probe, in bytes.
const PROBE: u64 = 4096;

type Sum = blake3::Hash;

/// Digests of the MiBs of a disk from `range.start` on; `None` for a MiB of zeros.
#[derive(Debug)]
pub struct Hashes {
    range: Range<u64>,
    sums: Vec<Option<Sum>>,
    /// One digest of everything: SHA-256 over the SHA-256 digests of each MiB, zeros included, one after the
    /// other.
    pub digest: Digest,
}

impl Hashes {
    /// Hashes the incoming chunks, which cover all of `range`; returns `None` if the reader failed.
    pub fn of(incoming: &Incoming, range: Range<u64>) -> Option<Hashes> {
        let (mut sums, mut all, zeros) = (Vec::new(), Hasher::sha256(), vec![0; CHUNK_LENGTH]);
        let of_zeros = Sha256::digest(&zeros);
        for piece in incoming.chunks() {
            match piece {
                Piece::Data(chunk) => {
                    all.update(&Sha256::digest(chunk.bytes()));
                    sums.push(Some(blake3::hash(chunk.bytes())));
                }
                Piece::Zeros(range) => {
                    for start in range.clone().step_by(CHUNK_LENGTH) {
                        let length = usize::try_from(CHUNK.min(range.end - start)).unwrap_or(CHUNK_LENGTH);
                        let whole = length == CHUNK_LENGTH;
                        all.update(&if whole { of_zeros } else { Sha256::digest(&zeros[..length]) });
                        sums.push(None);
                    }
                }
            }
        }
        incoming.rest().map(|_| Hashes { range, sums, digest: all.finish() })
    }

    /// Returns how many bytes are in MiBs that hold something other than zeros.
    pub fn data(&self) -> u64 {
        self.chunks().filter(|(_, sum)| sum.is_some()).map(|(chunk, _)| chunk.end - chunk.start).sum()
    }

    /// Reads a copy back: every MiB that holds data, and of the zeros, which the kernel has promised, a page
    /// here and there. Fails at the first difference from what was sent. Calls `count` with the bytes of data
    /// compared.
    pub fn compare(&self, sink: &Sink, count: impl Fn(u64)) -> Result<()> {
        let mut copy = ReadBack::new(sink);
        let mut zeros_end = None; // where the last zeros ended
        for (chunk, sum) in self.chunks() {
            let Some(sum) = sum else {
                let is_first = zeros_end != Some(chunk.start);
                zeros_end = Some(chunk.end);
                if is_first || chunk.start.is_multiple_of(PROBES) {
                    copy.refuse_unless_zero(chunk.start..chunk.end.min(chunk.start + PROBE))?;
                }
                continue;
            };
            if zeros_end == Some(chunk.start) {
                copy.refuse_unless_zero(chunk.start - PROBE..chunk.start)?;
            }
            if blake3::hash(copy.read(&chunk)?) != *sum {
                return Err(copy.other(chunk.start));
            }
            count(chunk.end - chunk.start);
        }
        if zeros_end == Some(self.range.end) && self.range.end.is_multiple_of(CHUNK) {
            copy.refuse_unless_zero(self.range.end - PROBE..self.range.end)?;
        }
        Ok(())
    }

    fn chunks(&self) -> impl Iterator<Item = (Range<u64>, Option<&Sum>)> {
        let starts = self.range.clone().step_by(CHUNK_LENGTH);
        starts.zip(&self.sums).map(|(start, sum)| (start..(start + CHUNK).min(self.range.end), sum.as_ref()))
    }
}

/// Reads a copy back into one aligned buffer.
struct ReadBack<'s> {
    sink: &'s Sink,
    memory: Vec<u8>,
    start: usize,
}

impl ReadBack<'_> {
    fn new(sink: &Sink) -> ReadBack<'_> {
        let (memory, start) = memory();
        ReadBack { sink, memory, start }
    }

    /// Reads the bytes of at most one chunk.
    fn read(&mut self, range: &Range<u64>) -> Result<&[u8]> {
        let length = usize::try_from(range.end - range.start)?;
        let bytes = &mut self.memory[self.start..self.start + length];
        self.sink.read(range.start, bytes)?;
        Ok(bytes)
    }

    fn refuse_unless_zero(&mut self, range: Range<u64>) -> Result<()> {
        let is_zero = self.read(&range)?.iter().all(|byte| *byte == 0);
        if is_zero { Ok(()) } else { Err(self.other(range.start)) }
    }

    fn other(&self, at: u64) -> anyhow::Error {
        let name = self.sink.name();
        failed(
            format!("{name} returns different data at byte {at} than was written there"),
            format!("do not use this disk until you know why: smartctl -a {name}"),
        )
    }
}
