//! Downloads a file: one process behind walls speaks to the server, this one counts and compares what it sends.

use crate::error::{Result, failed};
use crate::oci::registry::file::open;
use crate::words::hex::hex_of;
use crate::words::units::Bytes;
use anyhow::{Context, Error};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Bytes that are taken at a time.
const CHUNK: usize = 1 << 20;

/// Sends a file that has an address: eight bytes of its length, least significant first, and then its own. A server that
/// does not answer is asked for `patience`.
pub fn send(url: &str, patience: Duration, mut out: impl Write) -> Result<()> {
    let (mut stream, length) = open(url, patience)?;
    out.write_all(&length.to_le_bytes()).context("handing over what came")?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..count]).context("handing over what came")?;
    }
}

/// Returns true for an address whose server is named by a name.
pub fn needs_names(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = if authority.starts_with('[') {
        authority.split_inclusive(']').next().unwrap_or_default().trim_matches(['[', ']'])
    } else {
        authority.split(':').next().unwrap_or_default()
    };
    host.parse::<IpAddr>().is_err()
}

/// The end of a transfer before its file is complete.
#[derive(Debug)]
struct Cut {
    came: u64,
    length: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} came", Bytes(self.came), Bytes(self.length))
    }
}

impl std::error::Error for Cut {}

/// Returns true for a transfer that ended early, of which the sending process knows the reason.
pub fn is_cut(error: &Error) -> bool {
    error.is::<Cut>()
}

/// A pipe that is read until a time limit.
pub struct Timed<R> {
    input: R,
    end: Instant,
}

impl<R: AsFd + Read> Timed<R> {
    /// Reads for at most this time from now on.
    pub fn new(input: R, limit: Duration) -> Timed<R> {
        Timed { input, end: Instant::now() + limit }
    }

    /// Returns the pipe.
    pub fn into_inner(self) -> R {
        self.input
    }
}

impl<R: AsFd + Read> Read for Timed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        let limit = Timespec::try_from(left).map_err(|_| ErrorKind::InvalidInput)?;
        let ready = poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&limit));
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

/// Writes what is sent to `out`, and fails unless it has this length and digest.
pub fn receive(mut input: impl Read, length: u64, digest: &str, mut out: impl Write) -> Result<()> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let count = input.read(&mut buffer[..most]).context("reading what came")?;
        if count == 0 {
            return Err(Error::new(Cut { came: length - left, length }));
        }
        hasher.update(&buffer[..count]);
        out.write_all(&buffer[..count]).context("keeping what came in memory")?;
        left -= count as u64;
    }
    let found = hex_of(&hasher.finalize());
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
        let mut out = Vec::new();
        receive(&b"image"[..], 5, &digest(), &mut out).unwrap();
        assert_eq!(out, b"image");
        for wrong in [b"Image", b"imAge", b"imagE"] {
            let error = receive(&wrong[..], 5, &digest(), io::sink()).unwrap_err().to_string();
            assert!(error.contains("was asked for"), "{error}");
        }
    }

    #[test]
    fn a_name_needs_a_name_server_and_an_address_does_not() {
        for named in ["http://srv/x", "https://srv.lab:8443/x", "http://10.0.0.1.lab/x"] {
            assert!(needs_names(named), "{named}");
        }
        for address in ["http://10.0.0.1/x", "http://10.0.0.1:80/x", "http://[fd00::1]:80/x", "http://[fd00::1]/x"] {
            assert!(!needs_names(address), "{address}");
        }
    }

    #[test]
    fn n2_what_is_shorter_or_longer_than_announced_is_bounded() {
        let error = receive(&b"ima"[..], 5, &digest(), io::sink()).unwrap_err().to_string();
        assert!(error.contains("3B of 5B came"), "{error}");
        assert!(is_cut(&receive(&b"ima"[..], 5, &digest(), io::sink()).unwrap_err()));
        let mut out = Vec::new();
        receive(&b"image and more"[..], 5, &digest(), &mut out).unwrap();
        assert_eq!(out, b"image", "no byte beyond the length is taken");
        assert_eq!(length(&mut &7u64.to_le_bytes()[..]).unwrap(), 7);
        assert!(length(&mut &b"1234567"[..]).is_err());
        let (silent, _held) = io::pipe().unwrap();
        let error = Timed::new(silent, Duration::from_millis(20)).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
