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
    /// Of what is found on it and in its partitions.
    pub contents_digest: Digest,
    /// What the kernel has built on it.
    pub holders: Vec<String>,
}

impl Fingerprint {
    /// That of the disk file at `path`; `None` if there is none yet.
    pub fn of_file(path: &Path) -> Result<Option<Fingerprint>> {
        match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            file => Fingerprint::of_open(&file.with_context(|| format!("opening {}", path.display()))?).map(Some),
        }
    }

    /// The same of one that is open.
    pub fn of_open(file: &File) -> Result<Fingerprint> {
        let size = file.metadata()?.len();
        let contents = Contents::of(file, size, sector_of_file(file))?;
        Ok(Fingerprint::new((Vec::new(), Vec::new()), size, &contents))
    }

    fn new((serials, holders): (Vec<String>, Vec<String>), size: u64, contents: &Contents) -> Fingerprint {
        let table_digest = contents.table_digest.clone();
        let contents_digest = Digest::of(format!("{contents:?}").as_bytes());
        Fingerprint { serials, size, table_digest, contents_digest, holders }
    }
}

impl Identity {
    /// What must be the same for a plan.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new((self.serials.clone(), self.holders.clone()), self.size, &self.contents)
    }
}
