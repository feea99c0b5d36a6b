//! An OCI image layout in a tar file (oci-archive).

use crate::error::Result;
use crate::oci::document::{DOCUMENT_MAX, Descriptor};
use crate::oci::layout;
use crate::oci::source::Source;
use crate::oci::tar_index::TarIndex;
use anyhow::Context;
use std::io::Read;
use std::path::Path;

/// An opened OCI archive: a tar file that holds an image layout.
pub struct Archive(TarIndex);

impl Archive {
    /// Opens the archive at `path` and reads its `index.json`.
    pub fn open(path: &Path) -> Result<(Archive, Vec<Descriptor>)> {
        let tar = TarIndex::open(path)?;
        let bytes = tar.read("index.json", DOCUMENT_MAX)?;
        let index = layout::index(&bytes).with_context(|| format!("reading index.json of {}", path.display()))?;
        Ok((Archive(tar), index))
    }
}

impl Source for Archive {
    fn document(&self, which: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        self.0.read(&place(which), limit)
    }

    fn blob(&self, which: &Descriptor) -> Result<Box<dyn Read>> {
        Ok(Box::new(self.0.file(&place(which))?))
    }
}

fn place(which: &Descriptor) -> String {
    format!("blobs/{}/{}", which.digest.algorithm(), which.digest.hex())
}
