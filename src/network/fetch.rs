//! Downloads a file: one process behind walls speaks to the server, this one counts and compares what it sends.

use crate::error::{Result, failed};
use crate::network::wanted::Wanted;
use crate::oci::registry::file::open;
use crate::words::hex::hex_of;
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sha2::{Digest, Sha256};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Bytes that are taken at a time.
const CHUNK: usize = 1 << 20;

/// Sends what a server has: eight bytes of its length, least significant first, and then, to `out`, its own. A server that
/// does not answer is asked for `patience`.
pub fn send(what: &Wanted, patience: Duration, mut announced: impl Write, mut out: impl Write) -> Result<()> {
    let (mut stream, length): (Box<dyn Read>, u64) = match what {
        Wanted::File(url) => open(url, patience).map(|(stream, length)| (Box::new(stream) as Box<dyn Read>, length))?,
        Wanted::Part(repository, part) => repository.open(part, patience)?,
    };
    announced.write_all(&length.to_le_bytes()).context("handing over what came")?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..count]).context("handing over what came")?;
    }
}

/// A pipe with a limit for the time that is spent waiting for it. What its reader does in between does not count.
pub struct Timed<R> {
    input: R,
    left: Duration,
}

impl<R: AsFd + Read> Timed<R> {
    /// Waits for at most this time in all.
    pub fn new(input: R, limit: Duration) -> Timed<R> {
        Timed { input, left: limit }
    }

    /// Returns the pipe.
    pub fn into_inner(self) -> R {
        self.input
    }
}

impl<R: AsFd + Read> Read for Timed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = Timespec::try_from(self.left).map_err(|_| ErrorKind::InvalidInput)?;
        let begin = Instant::now();
        let ready = poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&limit));
        self.left = self.left.saturating_sub(begin.elapsed());
        match ready {
            Ok(0) => Err(io::Error::new(ErrorKind::TimedOut, "it takes too long")),
            Ok(_) => self.input.read(buffer),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Reads the length of what is sent.
pub fn length(input: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// A stream that ends after the length that it began with; it is an error if it does not have that.
pub struct Measured<R> {
    input: R,
    length: u64,
    left: u64,
}

impl<R: Read> Measured<R> {
    /// Reads this many bytes.
    pub fn new(input: R, length: u64) -> Measured<R> {
        Measured { input, length, left: length }
    }

    /// Returns the length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the stream itself.
    pub fn whole(&mut self) -> &mut R {
        &mut self.input
    }

    /// Returns true if all came.
    pub fn is_complete(&self) -> bool {
        self.left == 0
    }
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..most])?;
        if count == 0 {
            let came = format!("{} of {} came", Bytes(self.length - self.left), Bytes(self.length));
            return Err(io::Error::new(ErrorKind::UnexpectedEof, came));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Fails unless what came has this length and digest.
pub fn compare(came: &[u8], length: u64, digest: &str) -> Result<()> {
    if came.len() as u64 != length {
        let (came, whole) = (Bytes(came.len() as u64), Bytes(length));
        return Err(failed(format!("{came} of {whole} came"), "see the server's log"));
    }
    let found = hex_of(&Sha256::digest(came));
    if found == digest {
        return Ok(());
    }
    let found = format!("what came has the digest sha256:{found}, and sha256:{digest} was asked for");
    Err(failed(found, "publish the image again: flipslot netboot"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> String {
        hex_of(&Sha256::digest(b"image"))
    }

    #[test]
    fn n1_one_wrong_byte_is_refused_wherever_it_is() {
        compare(b"image", 5, &digest()).unwrap();
        for wrong in [b"Image", b"imAge", b"imagE"] {
            let error = compare(wrong, 5, &digest()).unwrap_err().to_string();
            assert!(error.contains("was asked for"), "{error}");
        }
    }

    #[test]
    fn n2_what_is_shorter_or_longer_than_announced_is_bounded() {
        let error = compare(b"ima", 5, &digest()).unwrap_err();
        assert!(format!("{error:#}").contains("3B of 5B came"), "{error:#}");
        assert!(compare(b"image and more", 5, &digest()).is_err());
        let error = Measured::new(&b"ima"[..], 5).read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("3B of 5B came"), "{error}");
        let mut out = Vec::new();
        Measured::new(&b"image and more"[..], 5).read_to_end(&mut out).unwrap();
        assert_eq!(out, b"image", "no byte beyond the length is taken");
        assert_eq!(length(&mut &7u64.to_le_bytes()[..]).unwrap(), 7);
        assert!(length(&mut &b"1234567"[..]).is_err());
        let (silent, _held) = io::pipe().unwrap();
        let error = Timed::new(silent, Duration::from_millis(20)).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
