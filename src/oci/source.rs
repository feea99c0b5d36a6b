//! Where documents and blobs come from: the seam between registries, layouts and archives.

use crate::digest::Digest;
use crate::error::Result;
use crate::oci::document::Descriptor;
use std::io::Read;

/// A place that holds the blobs of an image. What it gives is not verified yet.
pub trait Source: Send + Sync {
    /// The bytes of a manifest, an index or a config, at most `limit` of them and one more.
    fn document(&self, which: &Descriptor, limit: u64) -> Result<Vec<u8>>;
    /// Opens a layer's blob.
    fn blob(&self, which: &Descriptor) -> Result<Box<dyn Read>>;
}

/// A document of a source, verified against its descriptor.
pub fn verified(source: &dyn Source, which: &Descriptor, limit: u64) -> Result<Vec<u8>> {
    let bytes = source.document(which, limit)?;
    if bytes.len() as u64 != which.size {
        let found = format!("{} has {} bytes; its descriptor says {}", which.digest, bytes.len(), which.size);
        return Err(crate::error::failed(found, "push or copy the image anew"));
    }
    check(&which.digest, &bytes)?;
    Ok(bytes)
}

/// Fails if `bytes` do not hash to `digest`.
pub fn check(digest: &Digest, bytes: &[u8]) -> Result<()> {
    if digest.matches(bytes) {
        return Ok(());
    }
    let found = format!("what is stored as {digest} hashes to something else");
    Err(crate::error::failed(
        found,
        "the image is damaged where it is stored, or was tampered with: push or copy it anew",
    ))
}
