//! What of a disk must be as it was for a plan to be one for it.

use crate::digest::Digest;
use crate::disk::identity::{Contents, Identity};
use crate::disk::table::sector_of_file;
use crate::error::Result;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

/// The fingerprint of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// All serial numbers that it tells; none of a file.
    pub serials: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
    /// Of its table and what that tells.
    pub table_digest: Digest,
    /// What the kernel has built on it.
    pub holders: Vec<String>,
}

impl Fingerprint {
    /// That of the disk file at `path`; `None` if there is none yet.
    pub fn of_file(path: &Path) -> Result<Option<Fingerprint>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.with_context(|| format!("opening {}", path.display()))?,
        };
        let size = file.metadata()?.len();
        let table_digest = Contents::of(&file, size, sector_of_file(&file))?.table_digest;
        Ok(Some(Fingerprint { serials: Vec::new(), size, table_digest, holders: Vec::new() }))
    }
}

impl Identity {
    /// What must be the same for a plan.
    pub fn fingerprint(&self) -> Fingerprint {
        let (serials, holders) = (self.serials.clone(), self.holders.clone());
        Fingerprint { serials, size: self.size, table_digest: self.contents.table_digest.clone(), holders }
    }
}
