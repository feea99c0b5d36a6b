//! A file that was written, with its size and digest.

use crate::disk::new::file::{Existing, NewFile};
use crate::error::Result;
use crate::publish::bmap::Section;
use crate::words::digest::Digest;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// A file that was written, as listed in the manifest and in the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) digest: Digest,
}

impl WrittenFile {
    /// Reads a file that is complete.
    pub fn of(name: &str, file: &File) -> Result<WrittenFile> {
        let size = file.metadata()?.len();
        let digest = Digest::of_stream(Section { disk: file, at: 0, end: size });
        Ok(WrittenFile { name: name.to_owned(), size, digest: digest.with_context(|| format!("reading {name}"))? })
    }

    /// Returns the file's name within its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the digest of the file's bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// Writes a file that is complete but for its name; `what` as for [`NewFile::make`].
pub fn filled(path: &Path, what: &str, existing: Existing, bytes: &[u8]) -> Result<NewFile> {
    let new = NewFile::make(path, existing, what)?;
    (&mut new.file()).write_all(bytes).with_context(|| format!("writing {}", path.display()))?;
    new.flush()?;
    Ok(new)
}
