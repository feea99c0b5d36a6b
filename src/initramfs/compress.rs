//! Compresses an initramfs with the best method that the slot's kernel can read; zstd runs on all cores.

use crate::boot::root_on::RootOn;
use crate::error::{Result, failed};
use crate::kernel::find::{Kernel, has_option};
use crate::root::tree::Tree;
use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, PipeWriter, Read, Write};
use std::thread::available_parallelism;

/// A compression method that kernels can unpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// zstd, since Linux 5.9 with `CONFIG_RD_ZSTD`.
    Zstd,
    /// gzip, in every kernel that has an initramfs.
    Gzip,
}

/// Largest initramfs before it is compressed, in bytes.
pub(super) const LARGEST: u64 = 1 << 30;
/// Effort to make an initramfs small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// For one that is read from a disk: level 1 takes half a second for 100 MB on two cores, and each level above costs
    /// more than it saves in reading on any disk.
    Little,
    /// For one that many machines fetch: level 9 takes two seconds for 70 MB, and saves a fifth.
    Much,
}

impl Effort {
    /// Returns the effort for a root here.
    pub fn of(on: &RootOn) -> Effort {
        if matches!(on, RootOn::Live { .. }) { Effort::Much } else { Effort::Little }
    }

    fn zstd_level(self) -> i32 {
        match self {
            Effort::Little => 1,
            Effort::Much => 9,
        }
    }
}

impl Method {
    /// Returns zstd if the config of the slot's kernel enables it; gzip if it does not, or if there is no config.
    pub fn of(root: &dyn Tree, kernel: &Kernel) -> Result<Method> {
        Ok(if has_option(root, kernel, "CONFIG_RD_ZSTD")? == Some(true) { Method::Zstd } else { Method::Gzip })
    }

    /// Compresses to `out` what `write` writes.
    pub fn compressed(
        self,
        effort: Effort,
        out: impl Write + Send,
        write: impl FnOnce(PipeWriter) -> Result<()>,
    ) -> Result<()> {
        let (read, pipe) = io::pipe().context("making a pipe")?;
        std::thread::scope(|scope| {
            let packing = scope.spawn(move || self.compress(effort, read, out));
            let written = write(pipe);
            // What stopped the other side is the cause.
            packing
                .join()
                .unwrap_or_else(|_| Err(failed("the thread that compresses has failed", "run the command again")))?;
            written
        })
    }

    /// Reads all of `input` and writes it, compressed, to `out`.
    pub fn compress(self, effort: Effort, mut input: impl Read, out: impl Write) -> Result<()> {
        match self {
            Method::Zstd => {
                let mut encoder = zstd::Encoder::new(out, effort.zstd_level())?;
                encoder.multithread(u32::try_from(available_parallelism()?.get())?)?;
                // The kernel has no other check of what it unpacks (lib/decompress_unzstd.c).
                encoder.include_checksum(true)?;
                io::copy(&mut input, &mut encoder)
                    .and_then(|_| encoder.finish().map(drop))
                    .context("compressing with zstd")
            }
            Method::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::fast());
                io::copy(&mut input, &mut encoder)
                    .and_then(|_| encoder.finish().map(drop))
                    .context("compressing with gzip")
            }
        }
    }
}
