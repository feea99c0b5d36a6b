//! One part of a repository at a time: each is read by a process of its own, before there is a system.

use crate::error::Result;
use crate::oci::credentials::Credential;
use crate::oci::document::{DOCUMENT_MAX, INDEX_TYPES, MANIFEST_TYPES};
use crate::oci::registries::{Endpoint, Transport};
use crate::oci::registry::attached;
use crate::oci::registry::blob::BlobStream;
use crate::oci::registry::{Access, Registry};
use crate::words::digest::Digest;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::io::{Cursor, Read};
use std::sync::Arc;
use std::time::Duration;

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Registry host, with its port if one is given.
    pub host: String,
    /// Name of the repository there.
    pub name: String,
    /// Reach the host without TLS.
    pub plain_http: bool,
    /// Login there.
    pub credential: Credential,
    /// Hosts of token services to which it may be sent.
    pub realms: Vec<String>,
}

/// A part of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A manifest or an index.
    Manifest(Digest),
    /// The manifest or index that has this tag now.
    Tag(String),
    /// Signatures that are attached to a manifest or an index, as a JSON list.
    Attached(Digest),
    /// A config or a layer.
    Blob {
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
}

/// Returns a document as a stream, and its length.
fn whole(bytes: Vec<u8>) -> (Box<dyn Read>, u64) {
    let length = bytes.len() as u64;
    (Box::new(Cursor::new(bytes)), length)
}

impl Repository {
    /// Opens a part; returns its bytes, unverified, and how many they are. A registry that does not answer is asked again
    /// for `patience`.
    pub fn open(&self, part: &Part, patience: Duration) -> Result<(Box<dyn Read>, u64)> {
        let transport = if self.plain_http { Transport::Plain } else { Transport::Tls };
        let endpoint = Endpoint { host: self.host.clone(), repository: self.name.clone(), transport };
        let access = Access { realms: self.realms.clone(), ..Access::default() };
        let Registry(session) = Registry::open_as(&endpoint, &access, self.credential.clone())?;
        let reading = || format!("reading {part:?} from {}", self.host);
        match part {
            Part::Manifest(_) | Part::Tag(_) => {
                let which = match part {
                    Part::Tag(tag) => tag.clone(),
                    Part::Manifest(digest) | Part::Attached(digest) | Part::Blob { digest, .. } => digest.to_string(),
                };
                let types = [&INDEX_TYPES[..], &MANIFEST_TYPES].concat().join(", ");
                let answer = session.get_patiently(&format!("manifests/{which}"), &types, patience);
                let bytes = answer.and_then(|answer| answer.document(DOCUMENT_MAX));
                Ok(whole(bytes.map_err(|failure| failure.into_error()).with_context(reading)?))
            }
            Part::Attached(digest) => Ok(whole(serde_json::to_vec(&attached::find(&session, digest)?)?)),
            Part::Blob { digest, size } => {
                let path = format!("blobs/{digest}");
                let answer = session.get_patiently(&path, "", patience);
                let answer = answer.map_err(|failure| failure.into_error()).with_context(reading)?;
                Ok((Box::new(BlobStream::answered(Arc::clone(&session), path, *size, answer)), *size))
            }
        }
    }
}
