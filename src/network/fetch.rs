//! Downloads a file: one process behind walls speaks to the server, this one counts and compares what it sends.

use crate::error::{Result, failed};
use crate::oci::registry::file::open;
use crate::words::units::Bytes;
use anyhow::Context;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};

/// Bytes that are taken at a time.
const CHUNK: usize = 1 << 20;

/// Sends a file that has an address: eight bytes of its length, least significant first, and then its own.
pub fn send(url: &str, mut out: impl Write) -> Result<()> {
    let (mut stream, length) = open(url)?;
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
            let found = format!("{} of {} came", Bytes(length - left), Bytes(length));
            return Err(failed(found, "see that the server and the network are up"));
        }
        hasher.update(&buffer[..count]);
        out.write_all(&buffer[..count]).context("keeping what came in memory")?;
        left -= count as u64;
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let found = hex(&hasher.finalize());
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
        Sha256::digest(b"image").iter().map(|byte| format!("{byte:02x}")).collect()
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
    fn n2_what_is_shorter_or_longer_than_announced_is_bounded() {
        let error = receive(&b"ima"[..], 5, &digest(), io::sink()).unwrap_err().to_string();
        assert!(error.contains("3B of 5B came"), "{error}");
        let mut out = Vec::new();
        receive(&b"image and more"[..], 5, &digest(), &mut out).unwrap();
        assert_eq!(out, b"image", "no byte beyond the length is taken");
        assert_eq!(length(&mut &7u64.to_le_bytes()[..]).unwrap(), 7);
        assert!(length(&mut &b"1234567"[..]).is_err());
    }
}
