//! Images in a registry, read over the OCI distribution protocol: the rest of the program reads blobs like files.

mod access;
mod blob;
mod challenge;
mod http;
mod login;
mod retry;
mod session;

pub use access::Access;

use crate::error::{Result, refused};
use crate::oci::credentials;
use crate::oci::credentials::Credential;
use crate::oci::document::{Descriptor, INDEX_TYPES, MANIFEST_TYPES};
use crate::oci::layout::read_limited;
use crate::oci::names::{is_loopback, refuse_if_unresolvable};
use crate::oci::reference::Pin;
use crate::oci::registry::blob::BlobStream;
use crate::oci::registry::http::{Http, Url};
use crate::oci::registry::login::Login;
use crate::oci::registry::session::Session;
use crate::oci::source::Source;
use crate::words::digest::Digest;
use anyhow::Context;
use std::io::Read;
use std::sync::Arc;

/// One repository of a registry.
pub struct Registry(Arc<Session>);

impl Registry {
    /// Prepares access to `host`/`repository`; nothing is sent yet. Credentials are never sent without TLS, except to
    /// this machine.
    pub fn open(host: &str, repository: &str, access: &Access) -> Result<Registry> {
        let plain = access.plain_http.iter().any(|plain| plain == host);
        refuse_if_unresolvable(host)?;
        let local = is_loopback(host) && access.certificates.is_empty();
        let credential = credentials::find(host)?;
        if plain && !is_loopback(host) && !matches!(credential, Credential::None) {
            let found = format!("without TLS, anyone on the way could read the credentials for {host}");
            let next = format!("log out (podman logout {host}), or give {host} a certificate and --registry-ca");
            return Err(refused(found, next));
        }
        let scheme = if plain || local { "http" } else { "https" };
        // Docker Hub answers under a name of its own.
        let server = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let address = || format!("reading {scheme}://{server}/v2/{repository}/ as an address");
        let base: Url = format!("{scheme}://{server}/").parse().with_context(address)?;
        let session = Session {
            http: Http::new(access, host)?,
            login: Login::new(base.clone(), repository, credential, &access.realms),
            host: host.to_owned(),
            repository: base.join(&format!("v2/{repository}/")).with_context(address)?,
        };
        Ok(Registry(Arc::new(session)))
    }

    /// Fetches the manifest or index that `pin` names and returns its bytes with their SHA-256 digest. The
    /// only place where a tag is looked up.
    pub fn pinned(&self, pin: &Pin) -> Result<(Vec<u8>, Digest)> {
        let name = match pin {
            Pin::Tag(tag) => tag.clone(),
            Pin::Digest(digest) => digest.to_string(),
        };
        let bytes = self
            .0
            .document(&format!("manifests/{name}"), &[&INDEX_TYPES[..], &MANIFEST_TYPES].concat().join(", "))
            .with_context(|| format!("reading the manifest {name} from {}", self.0.host))?;
        let digest = Digest::of(&bytes);
        Ok((bytes, digest))
    }
}

impl Source for Registry {
    fn document(&self, which: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        if INDEX_TYPES.iter().chain(&MANIFEST_TYPES).any(|known| *known == which.media_type) {
            return Ok(self.pinned(&Pin::Digest(which.digest.clone()))?.0);
        }
        read_limited(BlobStream::new(Arc::clone(&self.0), which), limit)
    }

    fn blob(&self, which: &Descriptor) -> Result<Box<dyn Read>> {
        Ok(Box::new(BlobStream::new(Arc::clone(&self.0), which)))
    }
}
