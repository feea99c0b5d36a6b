//! A root as one read-only file: its format, its compression, and the program that writes it.

mod erofs;
mod program;
mod squashfs;

use crate::error::{Result, usage};
use crate::root::erofs::{Identity, write};
use crate::root::packed::program::Program;
use crate::root::walk::Walk;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::Path;

/// A filesystem that is one file, and is only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// squashfs: every supported kernel reads it
    Squashfs,
    /// EROFS: for kernels since 5.4; with POSIX ACLs
    Erofs,
}

/// The compression of a file's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Zstandard: for squashfs since Linux 4.14, for EROFS since 6.10
    Zstd,
    /// LZ4: larger than zstd, and faster to read
    Lz4,
    /// None: as large as the files are
    None,
    /// gzip, for the oldest kernels
    #[value(skip)]
    Gzip,
}

/// The way in which a root becomes a file.
#[derive(Debug)]
pub struct Packing {
    /// Filesystem in the file.
    pub format: Format,
    /// Compression of its blocks.
    pub compression: Compression,
    /// Program that writes it; without one, flipslot does.
    program: Option<Program>,
}

impl Packing {
    /// Chooses who writes this. A squashfs is compressed unless asked otherwise, an EROFS is not. Refuses what no
    /// program on this machine writes rightly.
    pub fn of(format: Format, compression: Option<Compression>) -> Result<Packing> {
        let compression = compression.unwrap_or(match format {
            Format::Squashfs => Compression::Zstd,
            Format::Erofs => Compression::None,
        });
        let program = match (format, compression) {
            (Format::Erofs, Compression::None) => None,
            (Format::Erofs, Compression::Gzip) => {
                return Err(usage("an EROFS has no gzip", "choose zstd, lz4 or none: --compress"));
            }
            (Format::Erofs, _) => Some(erofs::program(compression)?),
            (Format::Squashfs, _) => Some(squashfs::program(compression)?),
        };
        Ok(Packing { format, compression, program })
    }

    /// Returns the name of the program that writes it, with its version.
    pub fn writer(&self) -> String {
        self.program.as_ref().map_or_else(|| format!("flipslot {}", env!("CARGO_PKG_VERSION")), Program::title)
    }

    /// Writes `root` into the empty file `out`, which another program opens as `path`. The same root and identity give
    /// the same bytes with the same program.
    pub fn pack(&self, root: &dyn Walk, identity: Identity, out: &File, path: &Path) -> Result<()> {
        match &self.program {
            None => write(root, identity, out),
            Some(program) => program.pack(root, identity, path),
        }
    }
}
