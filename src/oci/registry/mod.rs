//! Images in a registry, read over the OCI distribution protocol: the rest of the program reads blobs like files.

mod access;
mod attached;
mod blob;
pub mod challenge;
pub mod file;
mod http;
mod login;
pub mod part;
mod retry;
mod session;

pub use access::{Access, Caching};

use crate::error::{Result, refused};
use crate::oci::credentials;
use crate::oci::credentials::Credential;
use crate::oci::document::{Descriptor, INDEX_TYPES, MANIFEST_TYPES};
use crate::oci::layout::read_limited;
use crate::oci::names::{is_loopback, refuse_if_unresolvable};
use crate::oci::reference::Pin;
use crate::oci::registries::certificates::Certificates;
use crate::oci::registries::{Conf, Endpoint, Transport};
use crate::oci::registry::blob::BlobStream;
use crate::oci::registry::http::{Http, Own, Url, host_of};
use crate::oci::registry::login::Login;
use crate::oci::registry::session::Session;
use crate::oci::signature::Attached;
use crate::oci::source::{Source, check};
use crate::words::digest::Digest;
use anyhow::{Context, anyhow};
use std::io::Read;
use std::sync::Arc;

/// One repository of a registry.
pub struct Registry(Arc<Session>);

impl Registry {
    /// Finds the manifest or index that `pin` names: at the mirrors of registries.conf(5), in order, then at the
    /// registry itself. Returns the place that has it, and its bytes with their SHA-256 digest. The only place where a
    /// tag is looked up.
    pub fn find(host: &str, repository: &str, pin: &Pin, access: &Access) -> Result<(Registry, Vec<u8>, Digest)> {
        let endpoints = Conf::find()?.endpoints(host, repository, pin)?;
        let at = |endpoint: &Endpoint| {
            let registry = Registry::open(endpoint, access)?;
            let (bytes, digest) = registry.pinned(pin)?;
            Ok((registry, bytes, digest))
        };
        let mut failure = None;
        for endpoint in &endpoints {
            if let Some(error) = failure.take() {
                crate::stderr!("flipslot: {error:#}; trying {} instead", endpoint.host);
            }
            match at(endpoint) {
                Ok(found) => return Ok(found),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| anyhow!("registries.conf names no place for {host}/{repository}")))
    }

    /// Prepares access to an endpoint; nothing is sent yet. Credentials are never sent without TLS, except to this
    /// machine.
    fn open(endpoint: &Endpoint, access: &Access) -> Result<Registry> {
        let Endpoint { host, repository, transport } = endpoint;
        refuse_if_unresolvable(host)?;
        let credential = match *transport == Transport::Tls || is_loopback(host) {
            true => credentials::find(host, repository, access.authfile.as_deref())?,
            false => Credential::None, // anyone on the way could read it
        };
        Registry::open_as(endpoint, access, credential)
    }

    /// Like [`Registry::open`], with a credential that is known.
    fn open_as(endpoint: &Endpoint, access: &Access, credential: Credential) -> Result<Registry> {
        let Endpoint { host, repository, transport } = endpoint;
        refuse_if_unresolvable(host)?;
        let certificates = Certificates::find(host);
        let has_certificates = !access.certificates.is_empty() || certificates != Certificates::default();
        let is_local = is_loopback(host);
        let is_verified = *transport == Transport::Tls;
        let plain = access.plain_http.contains(host) || *transport == Transport::Plain;
        if plain && !is_local && !matches!(credential, Credential::None) {
            let found = format!("without TLS, anyone on the way could read the credentials for {host}");
            let next = format!("log out (podman logout {host}), or give {host} a certificate and --registry-ca");
            return Err(refused(found, next));
        }
        let scheme = if plain || (is_local && is_verified && !has_certificates) { "http" } else { "https" };
        // Docker Hub answers under a name of its own.
        let server = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let address = || format!("reading {scheme}://{server}/v2/{repository}/ as an address");
        let base: Url = format!("{scheme}://{server}/").parse().with_context(address)?;
        // As the addresses of requests have it: in lower case, without the usual port.
        let server = host_of(&base);
        let own = Own { registry: host, server: &server, certificates, transport: *transport };
        let session = Session {
            http: Http::new(access, own)?,
            login: Login::new(base.clone(), repository, credential, &access.realms),
            host: host.clone(),
            repository: base.join(&format!("v2/{repository}/")).with_context(address)?,
        };
        Ok(Registry(Arc::new(session)))
    }

    /// Fetches the manifest or index that `pin` names and returns its bytes with their SHA-256 digest. Fails if they
    /// are not those of a pinned digest.
    fn pinned(&self, pin: &Pin) -> Result<(Vec<u8>, Digest)> {
        let name = match pin {
            Pin::Tag(tag) => tag.clone(),
            Pin::Digest(digest) => digest.to_string(),
        };
        let bytes = self
            .0
            .document(&format!("manifests/{name}"), &[&INDEX_TYPES[..], &MANIFEST_TYPES].concat().join(", "))
            .with_context(|| format!("reading the manifest {name} from {}", self.0.host))?;
        if let Pin::Digest(pinned) = pin {
            check(pinned, &bytes)?;
            return Ok((bytes, pinned.clone()));
        }
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

    fn attached(&self, of: &Digest) -> Result<Vec<Attached>> {
        attached::find(&self.0, of)
    }
}
