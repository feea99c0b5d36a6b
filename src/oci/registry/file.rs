//! A file of a server of HTTP: the root that a machine boots, as one file.

use crate::error::{Result, failed, usage};
use crate::oci::credentials::Credential;
use crate::oci::registries::Transport;
use crate::oci::registries::certificates::Certificates;
use crate::oci::registry::Access;
use crate::oci::registry::blob::BlobStream;
use crate::oci::registry::http::{Failure, Http, Own, Url, host_of};
use crate::oci::registry::login::Login;
use crate::oci::registry::session::Session;
use anyhow::Context;
use std::sync::Arc;
use std::time::Duration;

/// Opens the file at an address; returns its bytes, and how many they are. A server that does not answer is asked again for
/// `patience`; one that breaks off later, with pauses of two minutes in all.
pub fn open(url: &str, patience: Duration) -> Result<(BlobStream, u64)> {
    let at: Url = url.parse().with_context(|| format!("reading the address {url}"))?;
    if !at.username().is_empty() || at.password().is_some() {
        let found = "an address with a user or a password is refused: everyone can read the command line";
        return Err(usage(found, "serve the file without, and name its digest"));
    }
    let host = host_of(&at);
    let own = Own { registry: &host, server: &host, certificates: Certificates::default(), transport: Transport::Tls };
    let http = Http::new(&Access::default(), own)?;
    let login = Login::new(at.clone(), "", Credential::None, &[]);
    let session = Arc::new(Session { http, login, host: host.clone(), repository: at });
    let answer = session.get_patiently("", "", patience).map_err(|failure| match failure {
        Failure::Missing(_) => failed(format!("{host} has no {url}"), "publish the image again: flipslot netboot"),
        failure => failure.into_error(),
    })?;
    let length = answer.length().ok_or_else(|| {
        failed(format!("{host} does not say how long {url} is"), "serve it as a file, with Content-Length")
    })?;
    Ok((BlobStream::answered(session, String::new(), length, answer), length))
}
