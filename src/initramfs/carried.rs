//! The program `flipslot-init`, embedded in flipslot.

use crate::error::{Result, failed};
use anyhow::Context;
use std::sync::OnceLock;

static CARRIED: OnceLock<&'static [u8]> = OnceLock::new();

/// Largest size of the program in bytes, unpacked.
const LARGEST: usize = 16 << 20;

/// Sets the embedded program, compressed with zstd.
pub fn carry(compressed: &'static [u8]) {
    let _ = CARRIED.set(compressed);
}

/// Returns the program.
pub fn flipslot_init() -> Result<Vec<u8>> {
    let compressed = CARRIED.get().filter(|bytes| !bytes.is_empty());
    let compressed = compressed.ok_or_else(|| {
        failed("this flipslot was built without flipslot-init, the init of its initramfs", "build both: make build")
    })?;
    zstd::bulk::decompress(compressed, LARGEST).context("unpacking flipslot-init")
}
