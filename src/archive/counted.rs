//! A reader that counts its bytes, can peek ahead, and limits the length of its input.

use crate::error::{failed, into_io};
use crate::words::units::Bytes;
use std::io::{self, BufRead, ErrorKind, Read};

/// Size of the buffer in bytes: that of a zstd block (`ZSTD_BLOCKSIZE_MAX`, zstd.h).
const BUFFER: usize = 128 * 1024;

/// A buffered reader with a position and a limit.
pub struct Stream<R> {
    input: R,
    buffer: Vec<u8>,
    /// Start of the bytes in the buffer that were read from `input` and not consumed yet.
    start: usize,
    /// End of those bytes.
    end: usize,
    /// Position of `start` in bytes from the beginning of `input`.
    at: u64,
    limit: u64,
}

impl<R: Read> Stream<R> {
    /// Makes a stream at its beginning. Reading fails as soon as `input` turns out to be longer than `limit` bytes.
    pub fn new(input: R, limit: u64) -> Stream<R> {
        Stream { input, buffer: vec![0; BUFFER], start: 0, end: 0, at: 0, limit }
    }

    /// Returns the number of bytes consumed so far.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Returns the next `length` bytes without consuming them; fewer only at the end. `length` is at most the size
    /// of the buffer, 128 KiB.
    pub fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        while self.end - self.start < length && self.fill()? > 0 {}
        let end = self.end.min(self.start + length);
        Ok(&self.buffer[self.start..end])
    }

    /// Returns true if everything was consumed.
    pub fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.peek(1)?.is_empty())
    }

    /// Skips zero bytes. Returns their number.
    pub fn pass_zeros(&mut self) -> io::Result<u64> {
        let begin = self.at;
        loop {
            let ready = self.fill_buf()?;
            let zeros = ready.iter().take_while(|byte| **byte == 0).count();
            let more = zeros == ready.len() && zeros > 0;
            self.consume(zeros);
            if !more {
                return Ok(self.at - begin);
            }
        }
    }

    /// Skips `length` bytes, or fewer if the stream ends. Returns their number.
    pub fn pass(&mut self, length: u64) -> io::Result<u64> {
        let mut left = length;
        while left > 0 {
            let ready = self.fill_buf()?.len();
            if ready == 0 {
                break;
            }
            let step = usize::try_from(left).map_or(ready, |left| left.min(ready));
            self.consume(step);
            left -= step as u64;
        }
        Ok(length - left)
    }

    /// Reads more bytes into the buffer. Returns their number, 0 at the end.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let length = loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.end += length;
        if self.at.saturating_add(self.end as u64) > self.limit {
            let found = format!("it is longer than {}, more than flipslot reads", Bytes(self.limit));
            return Err(into_io(failed(found, "find out what makes it so large, and remove that")));
        }
        Ok(length)
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let length = ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&ready[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: Read> BufRead for Stream<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.fill()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, length: usize) {
        self.start = self.end.min(self.start + length);
        self.at += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that returns one byte at a time, as a decoder may.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn looking_ahead_reads_nothing_and_ends_with_the_stream() {
        let mut stream = Stream::new(Drops(b"\0\0abcdef"), 100);
        assert_eq!(stream.pass_zeros().unwrap(), 2);
        assert_eq!(stream.peek(4).unwrap(), b"abcd");
        assert_eq!((stream.at(), stream.pass(3).unwrap(), stream.at()), (2, 3, 5));
        assert_eq!(stream.peek(99).unwrap(), b"def");
        assert_eq!((stream.pass(99).unwrap(), stream.at(), stream.is_at_end().unwrap()), (3, 8, true));
    }

    #[test]
    fn a_stream_may_be_as_long_as_its_limit_and_no_longer() {
        assert_eq!(Stream::new(&[1; 100][..], 100).pass(u64::MAX).unwrap(), 100);
        assert!(Stream::new(&[1; 101][..], 100).pass(u64::MAX).is_err());
        assert!(Stream::new(io::repeat(0), 1 << 20).pass_zeros().is_err(), "endless zeros");
    }
}
