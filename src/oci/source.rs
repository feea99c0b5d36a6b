//! Sources of documents and blobs: the common interface of registries, layouts and archives.

use crate::error::Result;
use crate::oci::document::Descriptor;
use crate::oci::signature::Attached;
use crate::words::digest::Digest;
use std::io::Read;

/// A place that holds the blobs of an image. The bytes that it returns are not verified yet.
pub trait Source: Send + Sync {
    /// Reads a manifest, an index or a config. Fails if it is longer than `limit` bytes, except for a
    /// registry's manifests: their size is checked when they are parsed.
    fn document(&self, which: &Descriptor, limit: u64) -> Result<Vec<u8>>;
    /// Opens a layer's blob at its start.
    fn blob(&self, which: &Descriptor) -> Result<Box<dyn Read>>;
    /// Returns the signatures that are attached to a manifest or an index, unverified. Files have none.
    fn attached(&self, _of: &Digest) -> Result<Vec<Attached>> {
        Ok(Vec::new())
    }
}

/// Reads a document of a source and verifies its size and digest against its descriptor.
pub fn verified(source: &dyn Source, which: &Descriptor, limit: u64) -> Result<Vec<u8>> {
    let bytes = source.document(which, limit)?;
    if bytes.len() as u64 != which.size {
        let found = format!("{} has {} bytes; its descriptor says {}", which.digest, bytes.len(), which.size);
        return Err(crate::error::failed(found, "push or copy the image again"));
    }
    check(&which.digest, &bytes)?;
    Ok(bytes)
}

/// Fails if `bytes` do not hash to `digest`.
pub fn check(digest: &Digest, bytes: &[u8]) -> Result<()> {
    if digest.matches(bytes) {
        return Ok(());
    }
    let found = format!("the content stored as {digest} hashes to something else");
    Err(crate::error::failed(
        found,
        "the image is damaged where it is stored, or was tampered with: push or copy it again",
    ))
}
