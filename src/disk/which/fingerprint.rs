//! The fingerprint of a disk: the facts that must not change between a plan and its execution.

use crate::disk::table::read::sector_of_file;
use crate::disk::which::identity::{Contents, Identity};
use crate::error::Result;
use crate::words::digest::Digest;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

/// The fingerprint of a disk or disk file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// All serial numbers that the disk reports; empty for a file.
    pub serials: Vec<String>,
    /// Size of the disk in bytes.
    pub size: u64,
    /// Digest of the partition table and of the partitions listed in it.
    pub table_digest: Digest,
    /// Digest of everything found on the disk and in its partitions.
    pub contents_digest: Digest,
    /// Devices that the kernel has built on the disk or its partitions.
    pub holders: Vec<String>,
}

impl Fingerprint {
    /// Takes the fingerprint of the disk file at `path`; `None` if there is none yet.
    pub fn of_file(path: &Path) -> Result<Option<Fingerprint>> {
        match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            file => Fingerprint::of_open(&file.with_context(|| format!("opening {}", path.display()))?).map(Some),
        }
    }

    /// Takes the fingerprint of an open disk file.
    pub fn of_open(file: &File) -> Result<Fingerprint> {
        let size = file.metadata()?.len();
        let contents = Contents::of(file, size, sector_of_file(file))?;
        Ok(Fingerprint::new(Vec::new(), Vec::new(), size, &contents))
    }

    fn new(serials: Vec<String>, holders: Vec<String>, size: u64, contents: &Contents) -> Fingerprint {
        let table_digest = contents.table_digest.clone();
        let contents_digest = Digest::of(format!("{contents:?}").as_bytes());
        Fingerprint { serials, size, table_digest, contents_digest, holders }
    }
}

impl Identity {
    /// Returns the facts that must be the same for a plan to apply.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(self.serials.clone(), self.holders.clone(), self.size, &self.contents)
    }
}
