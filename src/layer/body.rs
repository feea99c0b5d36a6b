//! The bytes of one file inside a stream of many.

use std::io::{self, BufRead, ErrorKind, Read};

/// A reader that ends at the end of one entry's body.
pub struct Body<'a, R> {
    input: &'a mut R,
    left: &'a mut u64,
}

impl<'a, R> Body<'a, R> {
    /// Returns a reader of the next `left` bytes of `input`; `left` decreases as they are read.
    pub fn new(input: &'a mut R, left: &'a mut u64) -> Body<'a, R> {
        Body { input, left }
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
        if *self.left == 0 {
            return Ok(&[]);
        }
        let ready = self.input.fill_buf()?;
        if ready.is_empty() {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the archive ends in the middle of a file"));
        }
        let length = usize::try_from(*self.left).unwrap_or(usize::MAX).min(ready.len());
        Ok(&ready[..length])
    }

    fn consume(&mut self, length: usize) {
        self.input.consume(length);
        *self.left -= length as u64;
    }
}
