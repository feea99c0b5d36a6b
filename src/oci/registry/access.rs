//! The options for reaching registries, and for trusting what they hold.

use crate::oci::signature::Rules;
use std::path::PathBuf;

/// Keeping of what was fetched from registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Caching {
    /// Keep nothing.
    #[default]
    Off,
    /// Keep it in the folder that the user names.
    Named(PathBuf),
    /// Keep it in this folder if that is possible.
    Default(PathBuf),
}

/// The options for reaching registries, and for trusting what they hold.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Hosts (with port) to reach without TLS.
    pub plain_http: Vec<String>,
    /// PEM files of certificate authorities to trust in addition to the system's.
    pub certificates: Vec<PathBuf>,
    /// Hosts (with port) of token services to which a registry's credentials may be sent.
    pub realms: Vec<String>,
    /// The file of credentials, in place of the user's.
    pub authfile: Option<PathBuf>,
    /// Keeping of what was fetched.
    pub cache: Caching,
    /// The signatures that an image must have.
    pub rules: Rules,
}
