//! A file of a server, or a part of a repository: what is fetched.

use crate::oci::registry::part::{Part, Repository};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Something that a server has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// The file at this address.
    File(String),
    /// A part of a repository of a registry.
    Part(Repository, Part),
}

impl Wanted {
    /// Returns the host, with its port if one is given, as an address has it.
    pub fn host(&self) -> &str {
        match self {
            Wanted::File(url) => authority(url),
            Wanted::Part(repository, _) => &repository.host,
        }
    }
}

/// Returns the host of an address, with its port if one is given.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

/// Returns true for a host that a name server must be asked for.
pub fn is_name(authority: &str) -> bool {
    let host = if authority.starts_with('[') {
        authority.split_inclusive(']').next().unwrap_or_default().trim_matches(['[', ']'])
    } else {
        authority.split(':').next().unwrap_or_default()
    };
    host.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_needs_a_name_server_and_an_address_does_not() {
        for named in ["http://srv/x", "https://srv.lab:8443/x", "http://10.0.0.1.lab/x"] {
            assert!(is_name(authority(named)), "{named}");
        }
        for address in ["http://10.0.0.1/x", "http://10.0.0.1:80/x", "http://[fd00::1]:80/x", "http://[fd00::1]/x"] {
            assert!(!is_name(authority(address)), "{address}");
        }
    }
}
