//! The options for reaching registries.

use std::path::PathBuf;

/// The options for reaching registries.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Hosts (with port) to reach without TLS.
    pub plain_http: Vec<String>,
    /// PEM files of certificate authorities to trust in addition to the system's.
    pub certificates: Vec<PathBuf>,
    /// Hosts (with port) of token services to which a registry's credentials may be sent.
    pub realms: Vec<String>,
}
