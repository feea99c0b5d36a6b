//! Certificate authorities for a system that has none, such as a small server image. Without any, the
//! client does not even speak plain HTTP.

use crate::error::Result;
use crate::sys::environment;
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd, IntoRawFd};

/// The variable that names the file of authorities, for code that loads the system's (openssl(1),
/// SSL_CERT_FILE).
pub const VARIABLE: &str = "SSL_CERT_FILE";

/// Gives this process Mozilla's certificate authorities, as they were when it was built, if the system has
/// none. Must be called before any other thread is started.
pub fn bundle_if_none() -> Result<()> {
    if !rustls_native_certs::load_native_certs().certs.is_empty() {
        return Ok(());
    }
    let mut file = File::from(memfd_create("authorities", MemfdFlags::CLOEXEC).context("making a file in memory")?);
    file.write_all(bundle().as_bytes()).context("writing certificate authorities to memory")?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let _ = file.into_raw_fd(); // stays open as long as this process lives
    environment::set(VARIABLE, &path);
    Ok(())
}

/// Returns Mozilla's certificate authorities, as they were when this program was built, in PEM.
pub fn bundle() -> String {
    let mut text = String::new();
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let _ = writeln!(text, "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", STANDARD.encode(root));
    }
    text
}
