//! Images in a registry, read over the OCI distribution protocol. The only file that names oci-client and
//! tokio: the rest of the program reads blobs like files.

use crate::error::{Result, failed, into_io, refused};
use crate::oci::credentials;
use crate::oci::credentials::Credential;
use crate::oci::document::{Descriptor, INDEX_TYPES, MANIFEST_TYPES};
use crate::oci::layout::read_limited;
use crate::oci::names::{name_of, refuse_if_unresolvable};
use crate::oci::reference::Pin;
use crate::oci::source::Source;
use crate::words::digest::Digest;
use anyhow::Context;
use futures_util::{Stream, StreamExt};
use oci_client::client::{BlobResponse, Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;

/// The options for reaching registries.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Hosts (with port) to reach without TLS.
    pub plain_http: Vec<String>,
    /// PEM files of certificate authorities to trust in addition to the system's.
    pub certificates: Vec<PathBuf>,
}

/// The longest time to wait for a connection.
const CONNECT: Duration = Duration::from_secs(20);
/// The longest time that a transfer may stall.
const SILENCE: Duration = Duration::from_secs(60);
/// The most attempts to resume a broken transfer, each after twice the previous pause.
const RETRIES: u32 = 5;
/// The pause before the first attempt to resume a transfer.
const PAUSE: Duration = Duration::from_millis(500);

/// One repository of a registry, after login.
pub struct Registry {
    client: Client,
    image: Reference,
    runtime: Arc<Runtime>,
}

impl Registry {
    /// Logs in for `host`/`repository`. Credentials are never sent without TLS, except to this machine.
    pub fn open(host: &str, repository: &str, access: &Access) -> Result<Registry> {
        let plain = access.plain_http.iter().any(|plain| plain == host);
        refuse_if_unresolvable(host)?;
        let local = is_loopback(host) && access.certificates.is_empty();
        let credential = match credentials::find(host)? {
            Credential::None => RegistryAuth::Anonymous,
            _ if plain && !is_loopback(host) => {
                let found = format!("without TLS, anyone on the way could read the credentials for {host}");
                return Err(refused(
                    found,
                    format!("log out (podman logout {host}), or give {host} a certificate and --registry-ca"),
                ));
            }
            Credential::Password(name, password) => RegistryAuth::Basic(name, password),
            Credential::Token => {
                let found = format!("the login for {host} is an identity token, which flipslot cannot exchange");
                return Err(refused(
                    found,
                    format!("log in with a name and a password or access token: podman login {host}"),
                ));
            }
        };
        let protocol =
            if plain || local { ClientProtocol::HttpsExcept(vec![host.to_owned()]) } else { ClientProtocol::Https };
        let config = ClientConfig {
            protocol,
            extra_root_certificates: certificates(access)?,
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            user_agent: concat!("flipslot/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).context("setting up TLS")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let image = Reference::with_tag(host.to_owned(), repository.to_owned(), "latest".to_owned());
        let auth = client.auth(&image, &credential, RegistryOperation::Pull);
        runtime
            .block_on(auth)
            .map_err(|error| explain(error, host))
            .with_context(|| format!("logging in to {host}"))?;
        Ok(Registry { client, image, runtime: Arc::new(runtime) })
    }

    /// Fetches the manifest or index that `pin` names and returns its bytes with their SHA-256 digest. The
    /// only place where a tag is looked up.
    pub fn pinned(&self, pin: &Pin) -> Result<(Vec<u8>, Digest)> {
        let (host, repository) = (self.image.registry().to_owned(), self.image.repository().to_owned());
        let image = match pin {
            Pin::Tag(tag) => Reference::with_tag(host, repository, tag.clone()),
            Pin::Digest(digest) => Reference::with_digest(host, repository, digest.to_string()),
        };
        let types: Vec<&str> = INDEX_TYPES.iter().chain(&MANIFEST_TYPES).copied().collect();
        let pull = self.client.pull_manifest_raw(&image, &RegistryAuth::Anonymous, &types);
        let (bytes, _) = self
            .runtime
            .block_on(pull)
            .map_err(|error| explain(error, image.registry()))
            .with_context(|| format!("reading the manifest of docker://{image}"))?;
        let digest = Digest::of(&bytes);
        Ok((bytes.to_vec(), digest))
    }

    fn stream(&self, which: &Descriptor) -> BlobStream {
        BlobStream {
            client: self.client.clone(),
            image: self.image.clone(),
            runtime: Arc::clone(&self.runtime),
            descriptor: OciDescriptor {
                digest: which.digest.to_string(),
                size: i64::try_from(which.size).unwrap_or(i64::MAX),
                ..OciDescriptor::default()
            },
            body: None,
            chunk: None,
            at: 0,
            retries: 0,
            hopeless: false,
        }
    }
}

impl Source for Registry {
    fn document(&self, which: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        if INDEX_TYPES.iter().chain(&MANIFEST_TYPES).any(|known| *known == which.media_type) {
            return Ok(self.pinned(&Pin::Digest(which.digest.clone()))?.0);
        }
        read_limited(self.stream(which), limit)
    }

    fn blob(&self, which: &Descriptor) -> Result<Box<dyn Read>> {
        Ok(Box::new(self.stream(which)))
    }
}

type Body = Pinned<Box<dyn Stream<Item = io::Result<Chunk>> + Send>>;
/// A piece of a body, as the HTTP client returns it.
type Chunk = Box<dyn AsRef<[u8]> + Send>;

/// A blob being downloaded; a broken transfer resumes where it broke off. The reader checks the digest, so
/// a server that resumes wrongly is detected.
struct BlobStream {
    client: Client,
    image: Reference,
    runtime: Arc<Runtime>,
    descriptor: OciDescriptor,
    body: Option<Body>,
    chunk: Option<(Chunk, usize)>,
    at: u64,
    retries: u32,
    /// Set when the registry has given an answer that a retry would not change.
    hopeless: bool,
}

impl BlobStream {
    /// Opens the transfer at the next byte to read.
    fn open(&mut self) -> Result<Body> {
        let request = self.client.pull_blob_stream_partial(&self.image, &self.descriptor, self.at, None);
        let host = self.image.registry();
        // A server may ignore the range and begin at the start.
        let (stream, skip) = match self.runtime.block_on(request) {
            Ok(BlobResponse::Partial(stream)) => (stream, 0),
            Ok(BlobResponse::Full(stream)) => (stream, self.at),
            Err(error) => {
                self.hopeless = is_final(&error);
                return Err(explain(error, host));
            }
        };
        let mut skip = usize::try_from(skip)?;
        Ok(Box::pin(stream.map(move |chunk| {
            let chunk = chunk?;
            let passed = skip.min(chunk.len());
            skip -= passed;
            Ok(Box::new(chunk.slice(passed..)) as Chunk)
        })))
    }

    /// Returns the next bytes, or `None` at the end of the blob.
    fn next(&mut self) -> Result<Option<Chunk>> {
        loop {
            let chunk = match &mut self.body {
                None => {
                    self.body = Some(match self.open() {
                        Ok(body) => body,
                        Err(error) => {
                            self.pause(error)?;
                            continue;
                        }
                    });
                    continue;
                }
                Some(body) => self.runtime.block_on(body.next()),
            };
            match chunk {
                Some(Ok(chunk)) => return Ok(Some(chunk)),
                None if self.at >= u64::try_from(self.descriptor.size)? => return Ok(None),
                None => self.pause(failed("the registry ended the transfer early", ""))?,
                Some(Err(error)) => self.pause(error.into())?,
            }
        }
    }

    /// Waits before the next attempt, or gives up with the error that broke the transfer.
    fn pause(&mut self, error: anyhow::Error) -> Result<()> {
        self.body = None;
        if self.hopeless || self.retries == RETRIES {
            return Err(error).with_context(|| {
                format!(
                    "downloading {} from {} (byte {}, after {} retries)",
                    self.descriptor.digest,
                    self.image.registry(),
                    self.at,
                    self.retries
                )
            });
        }
        thread::sleep(PAUSE * 2u32.pow(self.retries));
        self.retries += 1;
        Ok(())
    }
}

impl Read for BlobStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some((chunk, at)) = &mut self.chunk {
                let ready = &(**chunk).as_ref()[*at..];
                if !ready.is_empty() {
                    let length = ready.len().min(buffer.len());
                    buffer[..length].copy_from_slice(&ready[..length]);
                    *at += length;
                    self.at += length as u64;
                    return Ok(length);
                }
            }
            match self.next().map_err(into_io)? {
                Some(chunk) => self.chunk = Some((chunk, 0)),
                None => return Ok(0),
            }
        }
    }
}

/// Returns true if `host[:port]` is this machine, so that no one on a network can listen in.
fn is_loopback(host: &str) -> bool {
    let name = name_of(host);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn certificates(access: &Access) -> Result<Vec<Certificate>> {
    access
        .certificates
        .iter()
        .map(|path| {
            let data = std::fs::read(path).with_context(|| format!("reading the certificate {}", path.display()))?;
            Ok(Certificate { encoding: CertificateEncoding::Pem, data })
        })
        .collect()
}

/// Returns true if the registry would give the same answer again.
fn is_final(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_)
        | OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => true,
        OciDistributionError::RegistryError { envelope, .. } => is_unknown(envelope),
        _ => false,
    }
}

fn is_unknown(envelope: &OciEnvelope) -> bool {
    let unknown =
        [OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::BlobUnknown, OciErrorCode::NotFound];
    envelope.errors.iter().any(|error| unknown.contains(&error.code))
}

/// Turns a protocol error into one with a hint for the user, where there is something to do about it.
fn explain(error: OciDistributionError, host: &str) -> anyhow::Error {
    match &error {
        OciDistributionError::ImageManifestNotFoundError(_) => failed(
            format!("{host} has no such image: {error}"),
            format!("see what is there: skopeo list-tags docker://{host}/…"),
        ),
        OciDistributionError::RegistryError { envelope, .. } if is_unknown(envelope) => failed(
            format!("{host} has no such image: {error}"),
            format!("see what is there: skopeo list-tags docker://{host}/…"),
        ),
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => failed(
            format!("{host} refuses the credentials, or requires some: {error}"),
            format!("log in: podman login {host}, or docker login {host}"),
        ),
        OciDistributionError::RequestError(request) if request.is_connect() => {
            let mut text = String::new();
            let mut cause: Option<&dyn std::error::Error> = Some(request);
            while let Some(inner) = cause {
                text = format!("{text}{}{inner}", if text.is_empty() { "" } else { ": " });
                cause = inner.source();
            }
            let hint = format!(
                "check that {host} is up; pass its own CA with --registry-ca, or --plain-http {host} if it has no TLS"
            );
            failed(format!("cannot reach {host}: {text}"), hint)
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for local in ["127.0.0.1:5000", "localhost", "localhost:5000", "[::1]:5000", "127.9.9.9"] {
            assert!(is_loopback(local), "{local}");
        }
        for other in ["127.0.0.1.example.com", "localhost.example.com:5000", "10.0.0.1:5000", "docker.io", "0.0.0.0"] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
