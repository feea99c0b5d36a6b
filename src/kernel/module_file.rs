//! Reads the file of a kernel module.

use crate::archive::unpack::{Compression, decoded};
use crate::error::{Result, failed};
use crate::words::units::Bytes;
use anyhow::Context;
use std::io::{BufReader, Read};

/// Maximum size in bytes of an unpacked module, more than any has: amdgpu of Debian 13 has 30 MB.
const MODULE_MAX: u64 = 128 << 20;

/// Reads a module, compressed or not. Fails for one that is too large to be one.
pub fn read(path: &str, file: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    decoded(Compression::of_name(path), BufReader::new(file))?
        .take(MODULE_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading /{path}"))?;
    if bytes.len() as u64 > MODULE_MAX {
        let found = format!("/{path} has more than {}, unpacked", Bytes(MODULE_MAX));
        return Err(failed(found, "remove it from the image, or install its package again"));
    }
    Ok(bytes)
}
