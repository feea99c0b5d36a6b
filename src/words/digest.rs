//! Content digests as OCI writes them: `sha256:` or `sha512:` and lower-case hex.

use crate::error::{Result, failed};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;
use std::io::{self, Read};

/// The hash functions that the OCI image specification registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Algorithm {
    Sha256,
    Sha512,
}

/// A digest that was checked to be well-formed, so that it is safe in a path or a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// Parses `sha256:<64 hex>` or `sha512:<128 hex>`; refuses anything else, before it is used.
    pub fn parse(text: &str) -> Result<Digest> {
        let odd = |why: &str| {
            failed(
                format!("'{}' is not a digest: {why}", text.escape_debug()),
                "copy the complete digest, as in sha256:… with 64 digits",
            )
        };
        let (algorithm, hex) = text.split_once(':').ok_or_else(|| odd("it has no ':'"))?;
        let (algorithm, length) = match algorithm {
            "sha256" => (Algorithm::Sha256, 64),
            "sha512" => (Algorithm::Sha512, 128),
            _ => return Err(odd("only sha256 and sha512 are known")),
        };
        if hex.len() != length || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(odd(&format!("it needs {length} lower-case hexadecimal digits")));
        }
        Ok(Digest { algorithm, hex: hex.to_owned() })
    }

    /// Computes the SHA-256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::Sha256(Sha256::new());
        hasher.update(bytes);
        hasher.finish()
    }

    /// Computes the SHA-256 digest of everything that `input` returns.
    pub fn of_stream(mut input: impl Read) -> io::Result<Digest> {
        let mut hasher = Hasher::Sha256(Sha256::new());
        let mut chunk = vec![0; 1 << 16];
        loop {
            match input.read(&mut chunk)? {
                0 => return Ok(hasher.finish()),
                length => hasher.update(&chunk[..length]),
            }
        }
    }

    /// Returns a hasher of this digest's own algorithm.
    pub fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }

    /// Returns true if `bytes` hash to this digest.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish() == *self
    }

    /// Returns the name of the algorithm: `sha256` or `sha512`.
    pub fn algorithm(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Returns the lower-case hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex)
    }
}

impl TryFrom<String> for Digest {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Digest> {
        Digest::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// A digest that is being computed.
pub enum Hasher {
    /// SHA-256, which nearly every image uses.
    Sha256(Sha256),
    /// SHA-512, which OCI also registers.
    Sha512(Sha512),
}

impl Hasher {
    /// Returns a new SHA-256 hasher.
    pub fn sha256() -> Hasher {
        Hasher::Sha256(Sha256::new())
    }

    /// Adds the next bytes to the hash.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Returns the digest of all bytes added.
    pub fn finish(self) -> Digest {
        let (algorithm, bytes) = match self {
            Hasher::Sha256(hasher) => (Algorithm::Sha256, hasher.finalize().to_vec()),
            Hasher::Sha512(hasher) => (Algorithm::Sha512, hasher.finalize().to_vec()),
        };
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Digest { algorithm, hex }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_the_known_vector() {
        // FIPS 180-2, appendix B.1.
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), abc);
        assert!(Digest::parse(abc).unwrap().matches(b"abc"));
    }

    #[test]
    fn b9_odd_digests_are_refused_before_any_use() {
        let short = "a".repeat(63);
        let upper = "A".repeat(64);
        for text in [
            "sha256:../../x".to_owned(),
            format!("sha256:{upper}"),
            format!("sha256:{short}"),
            format!("SHA256:{}", "a".repeat(64)),
            format!("md5:{}", "a".repeat(32)),
            "sha256".to_owned(),
            String::new(),
        ] {
            assert!(Digest::parse(&text).is_err(), "{text}");
        }
    }
}
