//! A table `[[registry]]` of registries.conf(5): the names that it covers, and where their images are fetched from.

use crate::error::{Result, refused};
use crate::oci::reference::Pin;
use crate::oci::registries::endpoint::{Endpoint, Transport};
use anyhow::ensure;
use serde::Deserialize;

/// A registry, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Registry {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: Pull,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Pull {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

/// Returns a location without slashes at its end. Refuses one with a scheme, as other tools do.
fn location(text: &str) -> Result<String> {
    ensure!(!text.contains("://"), "the location '{text}' has a scheme");
    Ok(text.trim_end_matches('/').to_owned())
}

impl Registry {
    /// Returns it as it is compared; refuses a prefix that would match nothing, or something else than it seems.
    pub fn normalised(self) -> Result<Registry> {
        let trim = |text: Option<String>| -> Result<Option<String>> {
            Ok(text.as_deref().map(location).transpose()?.filter(|text| !text.is_empty()))
        };
        let mut registry = Registry { prefix: trim(self.prefix)?, location: trim(self.location)?, ..self };
        for mirror in &mut registry.mirror {
            mirror.location = location(&mirror.location)?;
            ensure!(!mirror.location.is_empty(), "a mirror has no location");
        }
        let prefix = registry.prefix();
        ensure!(!prefix.is_empty(), "a registry has neither prefix nor location");
        let has_pin = prefix.contains('@') || prefix.rsplit_once('/').is_some_and(|(_, last)| last.contains(':'));
        ensure!(!has_pin, "the prefix '{prefix}' has a tag or a digest, which flipslot does not compare");
        let odd_wildcard = prefix.contains('*') && (!prefix.starts_with("*.") || prefix[1..].contains(['*', '/', ':']));
        ensure!(!odd_wildcard, "the prefix '{prefix}' is not a wildcard for hosts, such as *.example.com");
        Ok(registry)
    }

    /// Returns the beginning of the names that this table is for.
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().or(self.location.as_deref()).unwrap_or_default()
    }

    /// Returns true if this table is for `name`, which has host and repository: the prefix ends where a component does.
    pub fn covers(&self, name: &str) -> bool {
        if let Some(domain) = self.prefix().strip_prefix('*') {
            let host = name.split(['/', ':']).next().unwrap_or_default();
            return host.ends_with(domain) && host.len() > domain.len();
        }
        name.strip_prefix(self.prefix()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
    }

    /// Lists the places to try for `name`, in order. Refuses one that is blocked.
    pub fn endpoints(&self, name: &str, pin: &Pin) -> Result<Vec<Endpoint>> {
        if self.blocked {
            let found = format!("registries.conf blocks {}, and with it {name}", self.prefix());
            return Err(refused(found, "name the image in another registry, or ask whoever blocked it"));
        }
        let pinned = matches!(pin, Pin::Digest(_));
        let mirrors = self.mirror.iter().filter(|mirror| match mirror.pull_from_mirror {
            Pull::All => pinned || !self.mirror_by_digest_only,
            Pull::DigestOnly => pinned,
            Pull::TagOnly => !pinned,
        });
        let mut places: Vec<(&str, bool)> = mirrors.map(|mirror| (mirror.location.as_str(), mirror.insecure)).collect();
        places.push((self.location.as_deref().unwrap_or_default(), self.insecure));
        let mut endpoints = Vec::new();
        for (location, insecure) in places {
            let moved = self.moved(name, location);
            let (host, repository) = moved.split_once('/').ok_or_else(|| {
                let found = format!("registries.conf moves {name} to '{moved}', which names no repository");
                refused(found, "correct the location there")
            })?;
            let all = [Transport::Tls, Transport::UnverifiedTls, Transport::Plain];
            let transports = if insecure { &all[..] } else { &all[..1] };
            let at = |transport: &Transport| Endpoint {
                host: host.to_owned(),
                repository: repository.to_owned(),
                transport: *transport,
            };
            endpoints.extend(transports.iter().map(at));
        }
        Ok(endpoints)
    }

    /// Replaces this table's prefix of a name by a location; an empty one replaces nothing.
    fn moved(&self, name: &str, location: &str) -> String {
        let rest = match self.prefix().starts_with('*') {
            true => name.find('/').map(|at| &name[at..]),
            false => name.strip_prefix(self.prefix()),
        };
        match rest {
            Some(rest) if !location.is_empty() => format!("{location}{rest}"),
            _ => name.to_owned(),
        }
    }
}
