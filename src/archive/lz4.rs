//! Reads the legacy frame format of lz4, the only one that the kernel reads (lib/decompress_unlz4.c).
//!
//! The crate's own reader takes any four bytes after the last block for the length of a block, and refuses
//! blocks that compression did not make smaller.

use lz4_flex::block::decompress_into;
use std::io::{self, BufRead, ErrorKind, Read};

/// First four bytes of a stream, little-endian (lz4's doc/lz4_Frame_format.md, "Legacy frame").
const MAGIC: u32 = 0x184c_2102;
/// Maximum size in bytes of an unpacked block.
const BLOCK: usize = 8 << 20;
/// Maximum size in bytes of a stored block (`LZ4_compressBound`, lz4.h).
const STORED: usize = BLOCK + BLOCK / 255 + 16;

/// Decoder of a stream, which ends with `input` or at a block length of 0: by that the kernel finds the end of a
/// stream that is followed by zeros. Nothing else may follow it.
pub struct Lz4<R> {
    input: R,
    stored: Vec<u8>,
    block: Vec<u8>,
    /// Number of bytes in the current block.
    length: usize,
    /// Number of bytes of the current block that were read.
    at: usize,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Beginning,
    Blocks,
    Ended,
}

impl<R: BufRead> Lz4<R> {
    /// Makes a decoder for the stream that begins at the position of `input`.
    pub fn new(input: R) -> Lz4<R> {
        Lz4 { input, stored: Vec::new(), block: vec![0; BLOCK], length: 0, at: 0, state: State::Beginning }
    }

    /// Reads the next number; `None` if fewer than four bytes are left, which the kernel ignores if they are
    /// zeros. Fails if they are not.
    fn number(&mut self) -> io::Result<Option<u32>> {
        let mut bytes = Vec::with_capacity(4);
        self.input.by_ref().take(4).read_to_end(&mut bytes)?;
        match <[u8; 4]>::try_from(bytes) {
            Ok(bytes) => Ok(Some(u32::from_le_bytes(bytes))),
            Err(short) if short.iter().all(|byte| *byte == 0) => Ok(None),
            Err(_) => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Unpacks the next block, or detects the end of the stream.
    fn advance(&mut self) -> io::Result<()> {
        let invalid = |what: String| io::Error::new(ErrorKind::InvalidData, what);
        let number = self.number()?;
        if self.state == State::Beginning {
            self.state = State::Blocks;
            return match number {
                Some(MAGIC) => Ok(()),
                Some(_) => Err(invalid("it is not in the legacy format of lz4".into())),
                None => Err(ErrorKind::UnexpectedEof.into()),
            };
        }
        let stored = match number {
            None | Some(0) => {
                self.state = State::Ended;
                return Ok(());
            }
            // The kernel reads consecutive streams as one.
            Some(MAGIC) => return Ok(()),
            Some(length) => usize::try_from(length).ok().filter(|length| *length <= STORED),
        };
        let Some(stored) = stored else {
            return Err(invalid(
                "a block is longer than 8 MiB, or something other than zeros follows the last one".into(),
            ));
        };
        self.stored.resize(stored, 0);
        self.input.read_exact(&mut self.stored)?;
        self.length = decompress_into(&self.stored, &mut self.block).map_err(|error| invalid(error.to_string()))?;
        self.at = 0;
        Ok(())
    }
}

impl<R: BufRead> Read for Lz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.length && self.state != State::Ended {
            self.advance()?;
        }
        let length = buffer.len().min(self.length - self.at);
        buffer[..length].copy_from_slice(&self.block[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
