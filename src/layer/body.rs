//! The bytes of one file inside a stream of many: those that the archive has, and zeros where a sparse file has none.

use crate::layer::sparse::Part;
use std::collections::VecDeque;
use std::io::{self, BufRead, ErrorKind, Read};

/// Zeros to read where a file has a hole.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The rest of a file: how far it was read, and which parts of it the archive has.
#[derive(Debug, Default)]
pub struct Rest {
    at: u64,
    size: u64,
    parts: VecDeque<Part>,
}

impl Rest {
    /// Returns a file of `size` bytes with these parts, which [`crate::layer::sparse::check`] has checked.
    pub fn of(size: u64, parts: Vec<Part>) -> Rest {
        Rest { at: 0, size, parts: parts.into() }
    }

    /// Returns true if the archive does not have all of the file.
    pub fn has_holes(&self) -> bool {
        self.parts.iter().map(|(_, length)| length).sum::<u64>() != self.size
    }

    /// Returns the bytes up to the next part, and those of the part if that is next.
    fn next(&mut self) -> (u64, u64) {
        while self.parts.front().is_some_and(|(_, length)| *length == 0) {
            self.parts.pop_front();
        }
        match self.parts.front() {
            Some((start, length)) if *start <= self.at => (0, *length),
            Some((start, _)) => (start - self.at, 0),
            None => (self.size - self.at, 0),
        }
    }
}

/// A reader that ends at the end of one entry's file.
pub struct Body<'a, R> {
    input: &'a mut R,
    /// Bytes that the archive has of it, and that were not read yet.
    left: &'a mut u64,
    rest: &'a mut Rest,
}

impl<'a, R> Body<'a, R> {
    /// Returns a reader of `rest`, of which the next `left` bytes of `input` are the parts; both change as it is read.
    pub fn new(input: &'a mut R, left: &'a mut u64, rest: &'a mut Rest) -> Body<'a, R> {
        Body { input, left, rest }
    }
}

impl<R: BufRead> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let length = ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&ready[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Body<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let at_most = |length: u64| usize::try_from(length).unwrap_or(usize::MAX);
        let (hole, part) = self.rest.next();
        if part == 0 {
            return Ok(&ZEROS[..at_most(hole).min(ZEROS.len())]);
        }
        let ready = self.input.fill_buf()?;
        if ready.is_empty() {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the archive ends in the middle of a file"));
        }
        let length = at_most(part).min(ready.len());
        Ok(&ready[..length])
    }

    fn consume(&mut self, length: usize) {
        let (_, part) = self.rest.next();
        self.rest.at += length as u64;
        if part > 0 {
            self.input.consume(length);
            *self.left -= length as u64;
            if let Some((start, left)) = self.rest.parts.front_mut() {
                *start += length as u64;
                *left -= length as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_zeros_and_the_parts_come_from_the_input() {
        let (mut input, mut left) = (&b"abcdeNEXT"[..], 5);
        let mut rest = Rest::of(12, vec![(0, 0), (2, 3), (5, 0), (8, 2), (12, 0)]);
        let mut file = Vec::new();
        Body::new(&mut input, &mut left, &mut rest).read_to_end(&mut file).unwrap();
        assert_eq!(file, b"\0\0abc\0\0\0de\0\0");
        assert_eq!((input, left), (&b"NEXT"[..], 0));
        let (mut short, mut left) = (&b"a"[..], 2);
        let mut rest = Rest::of(2, vec![(0, 2)]);
        assert!(Body::new(&mut short, &mut left, &mut rest).read_to_end(&mut Vec::new()).is_err());
    }
}
