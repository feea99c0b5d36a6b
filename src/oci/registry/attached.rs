//! Finds the signatures that a registry keeps beside an image: in the tag that cosign derives from the digest, and
//! among the manifests that name the image as their subject.

use crate::error::Result;
use crate::oci::document::Descriptor;
use crate::oci::layout::read_limited;
use crate::oci::registry::blob::BlobStream;
use crate::oci::registry::session::Session;
use crate::oci::signature::Attached;
use crate::oci::signature::attached::{
    ATTACHED_MAX, BUNDLE_TYPE, COUNT_MAX, SIGNATURE_ANNOTATION, SIMPLE_SIGNING_TYPE,
};
use crate::oci::source::check;
use crate::words::digest::Digest;
use anyhow::Context;
use serde::Deserialize;
use std::sync::Arc;

/// The media types of the documents that list signatures (OCI image specification).
const TYPES: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// A manifest whose layers are signatures.
#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// The answer of the referrers API (OCI distribution specification, "Listing Referrers").
#[derive(Deserialize)]
struct Referrers {
    #[serde(default)]
    manifests: Vec<Referrer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referrer {
    digest: Digest,
    #[serde(default)]
    artifact_type: String,
}

/// Returns all that is attached to `of`; what is not there counts as nothing.
pub fn find(session: &Arc<Session>, of: &Digest) -> Result<Vec<Attached>> {
    let candidates = [in_tag(session, of), referrers(session, of)];
    let mut found = Vec::new();
    let mut failure = None;
    // One that is damaged must not hide the others: anyone who may push could block an image with it.
    for one in candidates.into_iter().flat_map(|list| list.unwrap_or_else(|error| vec![Err(error)])) {
        match one {
            Ok(attached) => found.push(attached),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure.filter(|_| found.is_empty()) {
        Some(error) => Err(error).with_context(|| format!("looking for signatures of {of}")),
        None => Ok(found),
    }
}

/// Returns the signatures in the tag `sha256-….sig` (cosign, "Signature specification").
fn in_tag(session: &Arc<Session>, of: &Digest) -> Result<Vec<Result<Attached>>> {
    let path = format!("manifests/{}-{}.sig", of.algorithm(), of.hex());
    let Some(bytes) = session.document_if_any(&path, TYPES)? else { return Ok(Vec::new()) };
    let Listed { layers } = parse(&bytes)?;
    let signatures = layers.iter().filter(|layer| layer.media_type == SIMPLE_SIGNING_TYPE).take(COUNT_MAX);
    let signed = signatures.filter_map(|layer| Some((layer, layer.annotations.get(SIGNATURE_ANNOTATION)?.clone())));
    let read = |(layer, signature)| Ok(Attached::SimpleSigning { payload: blob(session, layer)?, signature });
    Ok(signed.map(read).collect())
}

/// Returns the bundles that refer to `of`. A registry without the API has the list in the tag `sha256-…`.
fn referrers(session: &Arc<Session>, of: &Digest) -> Result<Vec<Result<Attached>>> {
    // Registries without the API answer in many ways. Whatever this hides, an image with fewer signatures is refused.
    let listed = match session.document_if_any(&format!("referrers/{of}"), TYPES) {
        Ok(Some(listed)) => Some(listed),
        _ => session.document_if_any(&format!("manifests/{}-{}", of.algorithm(), of.hex()), TYPES)?,
    };
    let Some(listed) = listed else { return Ok(Vec::new()) };
    let Referrers { manifests } = parse(&listed)?;
    let bundles = manifests.iter().filter(|one| one.artifact_type.starts_with(BUNDLE_TYPE)).take(COUNT_MAX);
    Ok(bundles.map(|one| bundle(session, &one.digest)).collect())
}

fn bundle(session: &Arc<Session>, digest: &Digest) -> Result<Attached> {
    let bytes = session.document(&format!("manifests/{digest}"), TYPES)?;
    check(digest, &bytes)?;
    let Listed { layers } = parse(&bytes)?;
    let layer = layers.iter().find(|layer| layer.media_type.starts_with(BUNDLE_TYPE));
    Ok(Attached::Bundle(blob(session, layer.context("a referrer holds no bundle")?)?))
}

fn parse<'d, T: Deserialize<'d>>(bytes: &'d [u8]) -> Result<T> {
    serde_json::from_slice(bytes).context("reading a list of signatures as JSON")
}

fn blob(session: &Arc<Session>, which: &Descriptor) -> Result<Vec<u8>> {
    let bytes = read_limited(BlobStream::new(Arc::clone(session), which), ATTACHED_MAX)?;
    check(&which.digest, &bytes)?;
    Ok(bytes)
}
