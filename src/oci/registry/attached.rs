//! Finds the signatures that a registry keeps beside an image: in the tag that cosign derives from the digest, and
//! among the manifests that name the image as their subject.

use crate::error::{Result, refused};
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
    let finding = || format!("looking for signatures of {of}");
    let mut found = in_tag(session, of).with_context(finding)?;
    found.extend(referrers(session, of).with_context(finding)?);
    Ok(found)
}

/// Returns the signatures in the tag `sha256-….sig` (cosign, "Signature specification").
fn in_tag(session: &Arc<Session>, of: &Digest) -> Result<Vec<Attached>> {
    let path = format!("manifests/{}-{}.sig", of.algorithm(), of.hex());
    let Some(bytes) = session.document_if_any(&path, TYPES)? else { return Ok(Vec::new()) };
    let Listed { layers } = parse(&bytes)?;
    refuse_too_many(layers.len())?;
    let mut found = Vec::new();
    for layer in layers.iter().filter(|layer| layer.media_type == SIMPLE_SIGNING_TYPE) {
        let Some(signature) = layer.annotations.get(SIGNATURE_ANNOTATION) else { continue };
        found.push(Attached::SimpleSigning { payload: blob(session, layer)?, signature: signature.clone() });
    }
    Ok(found)
}

/// Returns the bundles that refer to `of`. A registry without the API has the list in the tag `sha256-…`.
fn referrers(session: &Arc<Session>, of: &Digest) -> Result<Vec<Attached>> {
    // Registries without the API answer in many ways. Whatever this hides, an image with fewer signatures is refused.
    let listed = match session.document_if_any(&format!("referrers/{of}"), TYPES) {
        Ok(Some(listed)) => Some(listed),
        _ => session.document_if_any(&format!("manifests/{}-{}", of.algorithm(), of.hex()), TYPES)?,
    };
    let Some(listed) = listed else { return Ok(Vec::new()) };
    let Referrers { manifests } = parse(&listed)?;
    let bundles: Vec<&Referrer> = manifests.iter().filter(|one| one.artifact_type.starts_with(BUNDLE_TYPE)).collect();
    refuse_too_many(bundles.len())?;
    let mut found = Vec::new();
    for Referrer { digest, .. } in bundles {
        let Some(bytes) = session.document_if_any(&format!("manifests/{digest}"), TYPES)? else { continue };
        check(digest, &bytes)?;
        let Listed { layers } = parse(&bytes)?;
        for layer in layers.iter().filter(|layer| layer.media_type.starts_with(BUNDLE_TYPE)).take(1) {
            found.push(Attached::Bundle(blob(session, layer)?));
        }
    }
    Ok(found)
}

fn parse<'d, T: Deserialize<'d>>(bytes: &'d [u8]) -> Result<T> {
    serde_json::from_slice(bytes).context("reading a list of signatures as JSON")
}

fn blob(session: &Arc<Session>, which: &Descriptor) -> Result<Vec<u8>> {
    let bytes = read_limited(BlobStream::new(Arc::clone(session), which), ATTACHED_MAX)?;
    check(&which.digest, &bytes)?;
    Ok(bytes)
}

fn refuse_too_many(count: usize) -> Result<()> {
    if count <= COUNT_MAX {
        return Ok(());
    }
    let found = format!("the image has {count} signatures; at most {COUNT_MAX} are looked at");
    Err(refused(found, "remove those that are out of date: cosign clean"))
}
