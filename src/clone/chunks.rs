//! Reads a disk as runs of bytes: data, a MiB at a time, and zeros.

use crate::clone::source::Source;
use crate::clone::unit::{ALIGNED, CHUNK, CHUNK_LENGTH};
use crate::error::Result;
use crate::words::units::MIB;
use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Longest run of zeros in one piece, in bytes: a disk that has to write them still shows progress.
const ZEROS_MOST: u64 = 64 * MIB;
/// Number of buffers that are kept for reuse.
const SPARE: usize = 128;

/// A piece of the disk.
#[derive(Clone)]
pub enum Piece {
    /// Bytes that are not all zeros: at most one chunk, beginning at a multiple of [`CHUNK`].
    Data(Arc<Chunk>),
    /// Byte range on the disk that is all zeros.
    Zeros(Range<u64>),
}

impl Piece {
    /// Returns the byte range on the disk.
    pub fn range(&self) -> Range<u64> {
        match self {
            Piece::Data(chunk) => chunk.offset..chunk.offset + chunk.length as u64,
            Piece::Zeros(range) => range.clone(),
        }
    }
}

/// Bytes at an address that every disk accepts for direct I/O. Dropping the last reference returns the memory
/// for reuse.
pub struct Chunk {
    /// Offset on the disk, in bytes.
    pub offset: u64,
    memory: Vec<u8>,
    start: usize,
    length: usize,
    spare: Sender<Vec<u8>>,
}

impl Chunk {
    /// Returns the bytes of the chunk.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let _ = self.spare.try_send(std::mem::take(&mut self.memory)); // otherwise it is freed
    }
}

/// Allocates memory for one chunk; returns it with the aligned offset at which the chunk begins.
pub fn memory() -> (Vec<u8>, usize) {
    let memory = vec![0; CHUNK_LENGTH + ALIGNED];
    let start = memory.as_ptr().align_offset(ALIGNED);
    (memory, start)
}

/// Iterator over the chunks of a source from a byte on, in order and without gaps.
pub struct Chunks<'s> {
    source: &'s Source,
    at: u64,
    end: u64,
    /// The last run of data that was looked up.
    data: Range<u64>,
    zeros: Vec<u8>,
    /// Memory of dropped chunks, which comes back through `give_back`.
    spare: Receiver<Vec<u8>>,
    give_back: Sender<Vec<u8>>,
    /// A piece of data that was read, and comes after the zeros before it.
    held: Option<Piece>,
}

impl<'s> Chunks<'s> {
    /// Iterates from byte `at`, a multiple of [`CHUNK`], up to `end`.
    pub fn new(source: &'s Source, at: u64, end: u64) -> Chunks<'s> {
        let (give_back, spare) = bounded(SPARE);
        Chunks { source, at, end, data: 0..0, zeros: vec![0; CHUNK_LENGTH], spare, give_back, held: None }
    }

    /// Reads the next chunk and moves on; returns `None` if it is all zeros.
    fn chunk(&mut self) -> Result<Option<Piece>> {
        let offset = self.at;
        let length = usize::try_from(CHUNK.min(self.end - offset))?;
        self.at += length as u64;
        if offset >= self.data.end {
            self.data = next_data(self.source, offset)?;
        }
        if self.data.start >= offset + length as u64 {
            return Ok(None); // a hole
        }
        let (mut memory, start) = match self.spare.try_recv() {
            Ok(memory) => {
                let start = memory.as_ptr().align_offset(ALIGNED);
                (memory, start)
            }
            Err(_) => memory(),
        };
        let bytes = &mut memory[start..start + length];
        let reading = || format!("reading {} at byte {offset}", self.source.path.display());
        self.source.file.read_exact_at(bytes, offset).with_context(reading)?;
        let is_zero = *bytes == self.zeros[..length];
        let chunk = Chunk { offset, memory, start, length, spare: self.give_back.clone() };
        Ok((!is_zero).then(|| Piece::Data(Arc::new(chunk))))
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        if let Some(held) = self.held.take() {
            return Some(Ok(held));
        }
        let begin = self.at;
        while self.at < self.end && self.at - begin < ZEROS_MOST {
            let before = self.at;
            match self.chunk() {
                Err(error) => {
                    self.at = self.end;
                    return Some(Err(error));
                }
                Ok(Some(data)) if before == begin => return Some(Ok(data)),
                Ok(Some(data)) => {
                    self.held = Some(data);
                    return Some(Ok(Piece::Zeros(begin..before)));
                }
                Ok(None) => {}
            }
        }
        (begin < self.at).then(|| Ok(Piece::Zeros(begin..self.at)))
    }
}

/// Returns how many bytes of `source` are allocated up to byte `end`; all of them on a device.
pub fn allocated(source: &Source, end: u64) -> Result<u64> {
    let (mut at, mut sum) = (0, 0);
    while at < end {
        let data = next_data(source, at)?;
        sum += data.end.min(end).saturating_sub(data.start);
        at = data.end;
    }
    Ok(sum)
}

/// Finds the first run of data at or after `at` (lseek(2), SEEK_DATA and SEEK_HOLE); returns a range past
/// every byte if there is none. A device is data from end to end.
fn next_data(source: &Source, at: u64) -> Result<Range<u64>> {
    if source.numbers.is_some() {
        return Ok(0..u64::MAX);
    }
    let looking = || format!("finding the allocated ranges of {}", source.path.display());
    let start = match seek(&source.file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(u64::MAX..u64::MAX),
        Err(Errno::INVAL) => return Ok(0..u64::MAX), // not supported on this filesystem
        Err(errno) => return Err(errno).with_context(looking),
    };
    Ok(start..seek(&source.file, SeekFrom::Hole(start)).with_context(looking)?)
}
