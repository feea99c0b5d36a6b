//! The programs `flipslot-init`, embedded in flipslot: the init of an initramfs, for disks alone or with the network.

use crate::error::{Result, failed};
use anyhow::Context;
use std::sync::OnceLock;

static CARRIED: OnceLock<Carried> = OnceLock::new();

/// Largest size of a program in bytes, unpacked.
const LARGEST: usize = 32 << 20;

/// The embedded programs, compressed with zstd.
#[derive(Debug, Clone, Copy)]
pub struct Carried {
    /// For a root on a disk, or in the initramfs.
    pub disk: &'static [u8],
    /// For a root that is fetched.
    pub net: &'static [u8],
}

/// Sets the embedded programs.
pub fn carry(programs: Carried) {
    let _ = CARRIED.set(programs);
}

/// Returns the program for a root that is fetched, or for any other.
pub fn flipslot_init(is_fetched: bool) -> Result<Vec<u8>> {
    let compressed = CARRIED.get().map(|carried| if is_fetched { carried.net } else { carried.disk });
    let compressed = compressed.filter(|bytes| !bytes.is_empty()).ok_or_else(|| {
        failed("this flipslot was built without flipslot-init, the init of its initramfs", "build both: make build")
    })?;
    zstd::bulk::decompress(compressed, LARGEST).context("unpacking flipslot-init")
}
