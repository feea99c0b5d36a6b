//! One part of a repository at a time: each is read by a process of its own, before there is a system.

use crate::error::Result;
use crate::oci::document::{DOCUMENT_MAX, INDEX_TYPES, MANIFEST_TYPES};
use crate::oci::registries::{Endpoint, Transport};
use crate::oci::registry::blob::BlobStream;
use crate::oci::registry::{Access, Registry};
use crate::words::digest::Digest;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::io::{Cursor, Read};
use std::sync::Arc;
use std::time::Duration;

/// A repository that needs no login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Registry host, with its port if one is given.
    pub host: String,
    /// Name of the repository there.
    pub name: String,
    /// Reach the host without TLS.
    pub plain_http: bool,
}

/// A part of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A manifest or an index.
    Manifest(Digest),
    /// A config or a layer.
    Blob {
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
}

impl Repository {
    /// Opens a part; returns its bytes, unverified, and how many they are. A registry that does not answer is asked again
    /// for `patience`.
    pub fn open(&self, part: &Part, patience: Duration) -> Result<(Box<dyn Read>, u64)> {
        let transport = if self.plain_http { Transport::Plain } else { Transport::Tls };
        let endpoint = Endpoint { host: self.host.clone(), repository: self.name.clone(), transport };
        let Registry(session) = Registry::open(&endpoint, &Access::default())?;
        let reading = || format!("reading {part:?} from {}", self.host);
        match part {
            Part::Manifest(digest) => {
                let types = [&INDEX_TYPES[..], &MANIFEST_TYPES].concat().join(", ");
                let answer = session.get_patiently(&format!("manifests/{digest}"), &types, patience);
                let bytes = answer.and_then(|answer| answer.document(DOCUMENT_MAX));
                let bytes = bytes.map_err(|failure| failure.into_error()).with_context(reading)?;
                let length = bytes.len() as u64;
                Ok((Box::new(Cursor::new(bytes)), length))
            }
            Part::Blob { digest, size } => {
                let path = format!("blobs/{digest}");
                let answer = session.get_patiently(&path, "", patience);
                let answer = answer.map_err(|failure| failure.into_error()).with_context(reading)?;
                Ok((Box::new(BlobStream::answered(Arc::clone(&session), path, *size, answer)), *size))
            }
        }
    }
}
