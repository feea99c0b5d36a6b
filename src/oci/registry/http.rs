//! Bounded HTTP GETs: every answer has a limit of size and time, every redirect is checked, and credentials go to
//! the host that was asked alone. The only file that names the HTTP client and its runtime.

use crate::error::{Result, failed};
use crate::oci::names::{address_of, is_loopback};
use crate::oci::registries::Transport;
use crate::oci::registries::certificates::Certificates;
use crate::oci::registry::access::Access;
use crate::oci::registry::challenge::Challenge;
use crate::oci::registry::retry::retry_after;
use crate::words::printable::plain;
use anyhow::Context;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RANGE,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Identity, Response, StatusCode};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::time::timeout;

pub use reqwest::Url;

/// Time limit for a connection, which a host across the world needs a second for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Time after which a transfer that receives nothing counts as interrupted.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Time limit for a whole document: [`DOCUMENT_MAX`](crate::oci::document::DOCUMENT_MAX) bytes at 35 KB/s.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(120);
/// The most redirects of one request.
const REDIRECTS: usize = 5;
/// Part of an error's body that is read, in bytes.
const ERROR_READ_MAX: usize = 4096;
/// Time limit for that.
const ERROR_TIMEOUT: Duration = Duration::from_secs(5);
/// Part of a stranger's text that is shown, in bytes.
const SHOWN_MAX: usize = 500;

/// Clients for the hosts of one registry.
pub struct Http {
    runtime: Arc<Runtime>,
    /// The registry as the user writes it, which another host may answer for.
    registry: String,
    /// The host (with port) that answers for it.
    server: String,
    /// With the registry's own certificates, for that host.
    own: Client,
    /// Without a proxy, for this machine itself.
    direct: Client,
    /// Through the proxies that the environment names (http_proxy, https_proxy, no_proxy).
    outside: Client,
}

/// A registry, and how its own server is known.
pub struct Own<'o> {
    /// The registry as the user writes it.
    pub registry: &'o str,
    /// The host (with port) that answers for it.
    pub server: &'o str,
    /// Its certificates.
    pub certificates: Certificates,
    /// Protection of the connection.
    pub transport: Transport,
}

/// A GET request.
#[derive(Debug, Clone, Default)]
pub struct Get<'g> {
    /// Value of the Accept header; empty for none.
    pub accept: &'g str,
    /// First byte to send; the whole is asked for without a range.
    pub from: u64,
    /// Value of the Authorization header.
    pub authorization: Option<String>,
}

/// Reasons for a request without an answer.
#[derive(Debug)]
pub enum Failure {
    /// The next attempt may succeed, after this time if the server says so.
    Again(anyhow::Error, Option<Duration>),
    /// The connection failed.
    Unreachable(anyhow::Error),
    /// The registry does not have it.
    Missing(anyhow::Error),
    /// A login is asked for.
    Login(Vec<Challenge>, anyhow::Error),
    /// The next attempt would fail in the same way.
    Final(anyhow::Error),
}

impl Failure {
    /// Returns the error, whatever could be done about it.
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Failure::Again(error, _)
            | Failure::Unreachable(error)
            | Failure::Missing(error)
            | Failure::Login(_, error)
            | Failure::Final(error) => error,
        }
    }
}

/// The answer to a request, whose body was not read yet.
pub struct Answer {
    runtime: Arc<Runtime>,
    response: Response,
}

impl Http {
    /// Sets up TLS with the system's certificate authorities and those of `access`. The registry's own certificates
    /// hold for its own server alone.
    pub fn new(access: &Access, own: Own) -> Result<Http> {
        let common = access.certificates.iter().map(|path| certificates(path)).collect::<Result<Vec<_>>>()?;
        let of_registry = own.certificates.authorities.iter().map(|path| certificates(path));
        let of_registry = of_registry.collect::<Result<Vec<_>>>()?;
        let builder = || {
            Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .redirect(Policy::none())
                .referer(false)
                .user_agent(concat!("flipslot/", env!("CARGO_PKG_VERSION")))
                .tls_certs_merge(common.iter().flatten().cloned())
        };
        let mut registry = builder()
            .tls_certs_merge(of_registry.into_iter().flatten())
            .tls_danger_accept_invalid_certs(own.transport == Transport::UnverifiedTls);
        if let Some((certificate, key)) = &own.certificates.client {
            registry = registry.identity(identity(certificate, key)?);
        }
        if is_loopback(own.server) {
            registry = registry.no_proxy();
        }
        let build = |builder: ClientBuilder| builder.build().context("setting up TLS");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Http {
            runtime: Arc::new(runtime),
            registry: own.registry.to_owned(),
            server: own.server.to_owned(),
            own: build(registry)?,
            direct: build(builder().no_proxy())?,
            outside: build(builder())?,
        })
    }

    /// Sends a GET, and follows redirects. The Authorization header goes to the host of `url` alone.
    pub fn get(&self, url: &Url, get: &Get) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str| -> Result<(), Failure> {
            let value = HeaderValue::from_str(value).context("making a request").map_err(Failure::Final)?;
            headers.insert(name, value);
            Ok(())
        };
        if !get.accept.is_empty() {
            put(ACCEPT, get.accept)?;
        }
        if get.from > 0 {
            put(RANGE, &format!("bytes={}-", get.from))?;
        }
        if let Some(authorization) = &get.authorization {
            put(AUTHORIZATION, authorization)?;
        }
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            if origin(&at) != origin(url) {
                headers.remove(AUTHORIZATION);
            }
            let request = self.client(&at).get(at.clone()).headers(headers.clone());
            let response =
                self.runtime.block_on(async { request.send().await }).map_err(|error| broken(&error, &at))?;
            if !response.status().is_redirection() {
                return self.answer(response, &at);
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| at.join(location).ok());
            let next = next.ok_or_else(|| {
                Failure::Final(failed(format!("a redirect of {} has no valid Location", host_of(&at)), ""))
            })?;
            refuse_redirect(url, &next).map_err(Failure::Final)?;
            at = next;
        }
        Err(Failure::Final(failed(format!("{} redirects more than {REDIRECTS} times", host_of(url)), "")))
    }

    /// Sends a form by POST, without redirects.
    pub fn post(&self, url: &Url, form: &[(&str, &str)]) -> Result<Answer, Failure> {
        let mut encoded = url.clone();
        encoded.query_pairs_mut().clear().extend_pairs(form);
        let request = self.client(url).post(url.clone());
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = request.body(encoded.query().unwrap_or_default().to_owned());
        let response = self.runtime.block_on(async { request.send().await }).map_err(|error| broken(&error, url))?;
        self.answer(response, url)
    }

    fn client(&self, url: &Url) -> &Client {
        let host = host_of(url);
        if host == self.server {
            return &self.own;
        }
        if is_loopback(&host) { &self.direct } else { &self.outside }
    }

    fn answer(&self, response: Response, url: &Url) -> Result<Answer, Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = Answer { runtime: Arc::clone(&self.runtime), response };
        if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            return Ok(answer);
        }
        let host = host_of(url);
        let said = answer.error_text();
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        Err(match status {
            StatusCode::UNAUTHORIZED => {
                let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(text);
                let challenges = challenges.flat_map(|header| Challenge::parse(&header)).collect();
                Failure::Login(challenges, self.no_access(&host, &said))
            }
            StatusCode::FORBIDDEN => Failure::Final(self.no_access(&host, &said)),
            StatusCode::NOT_FOUND => Failure::Missing(failed(
                format!("{host} has no such image: {said}"),
                format!("see what is there: skopeo list-tags docker://{}/…", self.registry),
            )),
            _ if matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
                || status.is_server_error() =>
            {
                let after = headers.get(RETRY_AFTER).and_then(text);
                Failure::Again(failed(format!("{host} answers {status}: {said}"), ""), retry_after(after.as_deref()))
            }
            _ => Failure::Final(failed(format!("{host} answers {status}: {said}"), "")),
        })
    }
}

impl Http {
    fn no_access(&self, host: &str, said: &str) -> anyhow::Error {
        let found = format!("{host} refuses the credentials, or requires some: {said}");
        failed(found, format!("log in: podman login {0}, or docker login {0}", self.registry))
    }
}

impl Answer {
    /// Returns the offset of the body in the whole, in bytes: 0 for a 200, the start of Content-Range for a 206, `None`
    /// if that header is missing or malformed.
    pub fn starts_at(&self) -> Option<u64> {
        if self.response.status() != StatusCode::PARTIAL_CONTENT {
            return Some(0);
        }
        let range = self.response.headers().get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
        range.split('-').next()?.trim().parse().ok()
    }

    /// Returns the length of the body in bytes, if the server says it.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Reads the next piece of the body; `None` at its end.
    pub fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, Failure> {
        let url = self.response.url().clone();
        self.runtime.block_on(self.response.chunk()).map_err(|error| broken(&error, &url))
    }

    /// Reads all of a document of at most `limit` bytes.
    pub fn document(mut self, limit: u64) -> Result<Vec<u8>, Failure> {
        let host = host_of(self.response.url());
        let too_long = || Failure::Final(failed(format!("{host} sends a document of more than {limit} bytes"), ""));
        if self.response.content_length().is_some_and(|length| length > limit) {
            return Err(too_long());
        }
        let end = Instant::now() + DOCUMENT_TIMEOUT;
        let mut bytes = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let chunk = self.runtime.block_on(async { timeout(left, self.response.chunk()).await });
            let Ok(chunk) = chunk else {
                let found = format!("{host} did not finish sending a document within {} s", DOCUMENT_TIMEOUT.as_secs());
                return Err(Failure::Final(failed(found, "run the command again later")));
            };
            match chunk.map_err(|error| broken(&error, self.response.url()))? {
                None => return Ok(bytes),
                Some(chunk) if (bytes.len() + chunk.len()) as u64 > limit => return Err(too_long()),
                Some(chunk) => bytes.extend_from_slice(&chunk),
            }
        }
    }

    /// Reads the first bytes of a body, as many as come within [`ERROR_TIMEOUT`].
    fn start(mut self) -> Vec<u8> {
        let end = Instant::now() + ERROR_TIMEOUT;
        let mut bytes = Vec::new();
        while bytes.len() < ERROR_READ_MAX {
            let left = end.saturating_duration_since(Instant::now());
            match self.runtime.block_on(async { timeout(left, self.response.chunk()).await }) {
                Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
                _ => break,
            }
        }
        bytes.truncate(ERROR_READ_MAX);
        bytes
    }

    /// Returns what an error's body says, in one short line. Registries put it into `errors` (OCI distribution
    /// specification, "Error codes").
    fn error_text(self) -> String {
        let status = self.response.status();
        let bytes = self.start();
        let errors = serde_json::from_slice::<serde_json::Value>(&bytes).unwrap_or_default();
        let error = &errors["errors"][0];
        let text = match (error["code"].as_str(), error["message"].as_str()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            _ => String::from_utf8_lossy(&bytes).into_owned(),
        };
        let text = plain(text.trim(), SHOWN_MAX);
        if text.is_empty() { status.canonical_reason().unwrap_or("no further information").to_owned() } else { text }
    }
}

/// Refuses a redirect to plain HTTP if `asked`, the first address, uses TLS; one to this machine from another; and one
/// to a link-local address.
pub fn refuse_redirect(asked: &Url, next: &Url) -> Result<()> {
    let keeps_tls = next.scheme() == "https" || (next.scheme() == "http" && asked.scheme() == "http");
    let (from, to) = (host_of(asked), host_of(next));
    let why = if !keeps_tls {
        "which does not use TLS"
    } else if is_link_local(&to) {
        "a link-local address"
    } else if is_loopback(&to) && !is_loopback(&from) {
        "this machine itself"
    } else {
        return Ok(());
    };
    Err(failed(format!("{from} redirects to {}, {why}", plain(next.as_str(), SHOWN_MAX)), ""))
}

/// Returns true for link-local addresses, where the metadata services of clouds listen, and for the unspecified
/// address.
fn is_link_local(host: &str) -> bool {
    address_of(host).is_some_and(|address| match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_unspecified(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_unspecified(),
    })
}

/// Returns the host of a URL, with its port if that is named.
pub fn host_of(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

fn origin(url: &Url) -> (String, String, Option<u16>) {
    (url.scheme().to_owned(), url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default())
}

/// Turns an error of the client into one that names the host and every cause.
fn broken(error: &reqwest::Error, url: &Url) -> Failure {
    let mut causes = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    let text = if causes.is_empty() { "the connection was lost".to_owned() } else { causes.join(": ") };
    let host = host_of(url);
    if error.is_connect() {
        let hint = format!(
            "check that {host} is up; pass its own CA with --registry-ca, or --plain-http {host} if it has no TLS"
        );
        let error = failed(format!("cannot reach {host}: {text}"), hint);
        // rustls::Error::InvalidCertificate: the next attempt would meet the same one.
        return if text.contains("invalid peer certificate") {
            Failure::Final(error)
        } else {
            Failure::Unreachable(error)
        };
    }
    let hint = format!("check the network between this machine and {host}, and run the command again");
    Failure::Again(failed(format!("the transfer from {host} was interrupted: {text}"), hint), None)
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity> {
    let reading = || format!("reading the client certificate {} and {}", certificate.display(), key.display());
    let mut pem = std::fs::read(certificate).with_context(reading)?;
    pem.extend(std::fs::read(key).with_context(reading)?);
    Identity::from_pem(&pem).with_context(reading)
}

fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let reading = || format!("reading the certificate {}", path.display());
    let bytes = std::fs::read(path).with_context(reading)?;
    Certificate::from_pem_bundle(&bytes).with_context(reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(from: &str, to: &str) -> bool {
        refuse_redirect(&from.parse().unwrap(), &to.parse().unwrap()).is_ok()
    }

    #[test]
    fn c3_c4_redirects_keep_tls_and_do_not_lead_to_this_machine() {
        assert!(may("https://registry.example/v2/", "https://storage.example/blob"));
        assert!(may("http://registry.lab:5000/v2/", "http://storage.lab/blob"));
        assert!(may("http://127.0.0.1:5000/v2/", "http://127.0.0.1:6000/blob"));
        assert!(!may("http://127.0.0.1:5000/v2/", "http://169.254.169.254/latest"));
        for to in [
            "http://storage.example/blob",
            "file:///etc/shadow",
            "https://169.254.169.254/latest",
            "https://localhost/",
            "https://[::1]/",
            "https://[fe80::1]/",
            "https://0.0.0.0/",
            "https://[::ffff:169.254.169.254]/",
        ] {
            assert!(!may("https://registry.example/v2/", to), "{to}");
        }
    }
}
