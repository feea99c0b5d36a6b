//! Writes chunks to a disk, and reads them back.

use crate::clone::chunks::Piece;
use crate::clone::unit::ALIGNED;
use crate::disk::new::target::Target;
use crate::error::{Result, failed};
use crate::sys::block;
use anyhow::Context;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A target disk while it is made unbootable, written and read back.
pub struct Sink {
    target: Target,
    path: PathBuf,
    /// The disk opened for direct I/O, past the kernel's cache, where that is possible.
    direct: Option<File>,
    is_device: bool,
}

impl Sink {
    /// Prepares a target that was claimed at `path` for writing.
    pub fn new(target: Target, path: &Path) -> Result<Sink> {
        let direct = target.direct()?;
        let is_device = target.numbers().is_some();
        Ok(Sink { target, path: path.to_owned(), direct, is_device })
    }

    /// Returns the path as the user wrote it.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Returns the target, and closes the rest.
    pub fn into_target(self) -> Target {
        self.target
    }

    /// Returns the target disk.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Writes a piece; returns how many bytes of data were written. The zeros of a new file are there
    /// already.
    pub fn put(&self, piece: &Piece) -> Result<u64> {
        let range = piece.range();
        let writing = |error: std::io::Error| {
            let found = format!("writing {} at byte {}: {error}", self.name(), range.start);
            failed(found, format!("see what the kernel says about the disk: dmesg; smartctl -a {}", self.name()))
        };
        match piece {
            Piece::Data(chunk) if self.is_device => {
                // The last chunk of a table that another program made may end anywhere.
                let file = match &self.direct {
                    Some(direct) if chunk.bytes().len().is_multiple_of(ALIGNED) => direct,
                    _ => self.target.file(),
                };
                file.write_all_at(chunk.bytes(), range.start).map_err(writing)?;
                Ok(chunk.bytes().len() as u64)
            }
            Piece::Data(chunk) => {
                self.target.write_at(range.start, chunk.bytes())?;
                Ok(chunk.bytes().len() as u64)
            }
            Piece::Zeros(zeros) if self.is_device => {
                block::zero_out(self.target.file(), zeros.start, zeros.end - zeros.start)
                    .map_err(|errno| writing(errno.into()))?;
                Ok(0)
            }
            Piece::Zeros(_) => Ok(0),
        }
    }

    /// Waits until everything is on the disk, and drops the kernel's cache of it.
    pub fn settle(&self) -> Result<()> {
        self.target.forget()
    }

    /// Reads `bytes` at `at`: directly from the disk, or, after [`Sink::settle`], through the kernel's cache,
    /// which then holds nothing of the disk.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let is_aligned = bytes.as_ptr().align_offset(ALIGNED) == 0 && bytes.len().is_multiple_of(ALIGNED);
        let file = match &self.direct {
            Some(direct) if is_aligned && at.is_multiple_of(ALIGNED as u64) => direct,
            _ => self.target.file(),
        };
        file.read_exact_at(bytes, at).with_context(|| format!("reading {} back at byte {at}", self.name()))
    }
}
