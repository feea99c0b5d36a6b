//! The memory that is left for an image.

use crate::error::{Result, failed};
use crate::words::units::Bytes;
use anyhow::Context;
use std::fs;

/// Memory in bytes that must be left beside an image: for the kernel, and a system that starts.
const RESERVE: u64 = 48 << 20;

/// Refuses an image of this length in bytes if memory is too short for it.
pub fn refuse_too_large(length: u64) -> Result<()> {
    let room = room()?;
    if length <= room {
        return Ok(());
    }
    let found = format!("the image has {}, and this machine has {} of memory for it", Bytes(length), Bytes(room));
    Err(failed(found, "give it more memory, or compress the image: flipslot netboot --format squashfs"))
}

/// Returns the memory that an image may take, in bytes.
pub fn room() -> Result<u64> {
    Ok(available()?.saturating_sub(RESERVE))
}

/// Returns the memory that can be had, in bytes.
pub fn available() -> Result<u64> {
    let [memory, swap] = free()?;
    // Swap is in memory here, and compressed to half, for files of a system.
    Ok(memory.saturating_add(swap.min(memory) / 2))
}

/// Returns the memory that can be had without swap, in bytes.
pub fn without_swap() -> Result<u64> {
    Ok(free()?[0])
}

/// Returns memory that is available, and swap that is free, in bytes (proc(5), MemAvailable and SwapFree).
fn free() -> Result<[u64; 2]> {
    let text = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let kib = value("MemAvailable:").context("reading MemAvailable of /proc/meminfo")?;
    Ok([kib, value("SwapFree:").unwrap_or(0)].map(|kib| kib.saturating_mul(1024)))
}
