//! A file that was written, with its size and digest.

use crate::words::digest::Digest;
use serde::Serialize;

/// A file that was written, as listed in the manifest and in the result.
#[derive(Debug, Clone, Serialize)]
pub struct WrittenFile {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) digest: Digest,
}

impl WrittenFile {
    /// Returns the file's name within its folder.
    pub fn name(&self) -> &str {
        &self.name
    }
}
