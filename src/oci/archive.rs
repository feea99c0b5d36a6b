//! An OCI image layout in a tar file (oci-archive).

use crate::error::Result;
use crate::oci::document::{DOCUMENT_MAX, Descriptor};
use crate::oci::layout;
use crate::oci::source::Source;
use crate::oci::spent::Spent;
use crate::oci::tar_index::TarIndex;
use anyhow::Context;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// An opened OCI archive: a tar file that holds an image layout.
pub struct Archive {
    tar: TarIndex,
    /// Set if what was read is given back.
    spent: Option<Arc<File>>,
}

impl Archive {
    /// Opens the archive at `path` and reads its `index.json`.
    pub fn open(path: &Path) -> Result<(Archive, Vec<Descriptor>)> {
        let tar = TarIndex::open(path)?;
        let bytes = tar.read("index.json", DOCUMENT_MAX)?;
        let index = layout::index(&bytes).with_context(|| format!("reading index.json of {}", path.display()))?;
        Ok((Archive { tar, spent: None }, index))
    }

    /// Opens an archive in memory, which is given back to the kernel as its blobs are read: each can be read once.
    pub fn open_once(path: &Path) -> Result<(Archive, Vec<Descriptor>)> {
        let (archive, index) = Archive::open(path)?;
        let file = File::options().write(true).open(path).with_context(|| format!("opening {}", path.display()))?;
        Ok((Archive { spent: Some(Arc::new(file)), ..archive }, index))
    }
}

impl Source for Archive {
    fn document(&self, which: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        self.tar.read(&place(which), limit)
    }

    fn blob(&self, which: &Descriptor) -> Result<Box<dyn Read>> {
        let slice = self.tar.file(&place(which))?;
        Ok(match &self.spent {
            None => Box::new(slice),
            Some(file) => {
                let at = slice.at();
                Box::new(Spent::new(slice, Arc::clone(file), at))
            }
        })
    }
}

fn place(which: &Descriptor) -> String {
    format!("blobs/{}/{}", which.digest.algorithm(), which.digest.hex())
}
