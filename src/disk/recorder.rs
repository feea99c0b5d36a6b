//! A medium in memory that records every effect on it.

use crate::disk::medium::Medium;
use std::collections::BTreeMap;
use std::io;
use std::iter;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Unit in bytes that a disk writes completely or not at all.
pub(super) const SECTOR: usize = 512;

/// One effect on a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Bytes that were written, and may be lost until the next flush.
    Write {
        /// Offset of the first byte.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A flush: everything written before is safe.
    Flush,
}

/// Bytes of a medium. Clones share every sector that was not written.
#[derive(Debug, Clone)]
pub struct Contents {
    first: Arc<Vec<u8>>,
    /// Sectors that were written since, by number.
    written: BTreeMap<usize, [u8; SECTOR]>,
}

impl Contents {
    /// Makes contents of these bytes. Their length never changes.
    pub fn new(bytes: Vec<u8>) -> Contents {
        Contents { first: Arc::new(bytes), written: BTreeMap::new() }
    }

    /// Copies bytes from `offset` on; returns their number, less than asked only at the end.
    pub(super) fn get(&self, bytes: &mut [u8], offset: usize) -> usize {
        let length = self.first.len().saturating_sub(offset).min(bytes.len());
        for Piece { sector, within, part } in pieces(offset, length) {
            let start = sector * SECTOR;
            bytes[part].copy_from_slice(match self.written.get(&sector) {
                Some(written) => &written[within],
                None => &self.first[start + within.start..start + within.end],
            });
        }
        length
    }

    /// Replaces bytes from `offset` on.
    pub(super) fn put(&mut self, bytes: &[u8], offset: usize) {
        for Piece { sector, within, part } in pieces(offset, bytes.len()) {
            let mut all = [0; SECTOR];
            self.get(&mut all, sector * SECTOR);
            all[within].copy_from_slice(&bytes[part]);
            self.written.insert(sector, all);
        }
    }
}

/// A part of a run of bytes that is within one sector.
pub(super) struct Piece {
    sector: usize,
    /// Position in the sector.
    within: Range<usize>,
    /// Position in the run.
    part: Range<usize>,
}

/// Splits a run of bytes at the boundaries of sectors.
pub(super) fn pieces(offset: usize, length: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    iter::from_fn(move || {
        let (sector, begin) = ((offset + done) / SECTOR, (offset + done) % SECTOR);
        let now = (SECTOR - begin).min(length - done);
        let part = done..done + now;
        done += now;
        (now > 0).then_some(Piece { sector, within: begin..begin + now, part })
    })
}

/// A medium in memory that records its effects. Clones are one and the same medium.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Mutex<Recording>>);

impl Recorder {
    /// Makes a medium with these contents, on which nothing has happened yet.
    pub fn over(contents: Contents) -> Recorder {
        let (before, now) = (contents.clone(), contents);
        Recorder(Arc::new(Mutex::new(Recording { before, now, effects: Vec::new() })))
    }

    /// Returns what has happened so far.
    pub fn recording(&self) -> Recording {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Medium for Recorder {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.lock().now.get(bytes, usize::try_from(offset).map_err(io::Error::other)?))
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self.read_at(bytes, offset)?;
        if read == bytes.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut recording = self.lock();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        if start.checked_add(bytes.len()).is_none_or(|end| end > recording.now.first.len()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        recording.now.put(bytes, start);
        recording.effects.push(Effect::Write { offset, bytes: bytes.to_owned() });
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.lock().effects.push(Effect::Flush);
        Ok(())
    }
}

/// Effects on a medium, and its contents before and after them.
#[derive(Debug, Clone)]
pub struct Recording {
    pub(super) before: Contents,
    now: Contents,
    /// The effects, in order.
    pub effects: Vec<Effect>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_they_were_written_across_sectors_and_not_beyond_the_end() {
        let recorder = Recorder::over(Contents::new(vec![0; 2 * SECTOR + 10]));
        recorder.write_all_at(&[7; SECTOR], 300).unwrap();
        let mut read = [0; SECTOR + 2];
        recorder.read_exact_at(&mut read, 299).unwrap();
        assert_eq!((read[0], read[1], read[SECTOR], read[SECTOR + 1]), (0, 7, 7, 0));
        assert_eq!(recorder.read_at(&mut read, 2 * SECTOR as u64).unwrap(), 10);
        assert!(recorder.read_exact_at(&mut read, 2 * SECTOR as u64).is_err());
        assert!(recorder.write_all_at(&[0; 11], 2 * SECTOR as u64).is_err());
        assert_eq!(recorder.recording().effects.len(), 1, "a write that failed is not an effect");
    }
}
