//! registries.conf(5), version 2: what is read of it, and where an image is fetched from because of it.

use crate::error::{Result, refused};
use crate::oci::home;
use crate::oci::reference::{Pin, Reference};
use crate::oci::registries::endpoint::{Endpoint, Transport};
use crate::oci::registries::short_name::ShortNames;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file of the system; the drop-ins are beside it.
const SYSTEM: &str = "/etc/containers/registries.conf";

/// The settings of all files together; of two that name the same registry, the later holds.
#[derive(Debug, Default)]
pub struct Conf {
    registries: Vec<Registry>,
    short_names: ShortNames,
}

/// One file. Keys that only matter to other tools are ignored, as they are by those.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    registry: Vec<Registry>,
    unqualified_search_registries: Option<Vec<String>>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Registry {
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

#[derive(Debug, Clone, Deserialize)]
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

impl Conf {
    /// Reads the files that the system has: that of `CONTAINERS_REGISTRIES_CONF`, else the user's, else the system's,
    /// and the drop-ins of the system and the user.
    pub fn find() -> Result<Conf> {
        let user = home::settings().map(|folder| folder.join("registries.conf"));
        let named = env::var_os("CONTAINERS_REGISTRIES_CONF").filter(|file| !file.is_empty()).map(PathBuf::from);
        let mut conf = Conf::default();
        let main = match named {
            Some(file) => return Conf::default().with(&file),
            None => user.clone().filter(|file| file.is_file()).unwrap_or_else(|| SYSTEM.into()),
        };
        let folders = [Some(Path::new(SYSTEM).to_owned()), user].into_iter().flatten();
        let drop_ins = folders.flat_map(|file| drop_ins(&file.with_extension("conf.d")));
        for file in Some(main).into_iter().chain(drop_ins) {
            conf = conf.with(&file)?;
        }
        Ok(conf)
    }

    /// Adds a file; one that does not exist adds nothing.
    fn with(self, path: &Path) -> Result<Conf> {
        let unreadable = |why: &str| {
            let found = format!("cannot read {}: {why}", path.display());
            refused(found, "correct it: man containers-registries.conf")
        };
        match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(self),
            Err(error) => Err(unreadable(&error.to_string())),
            Ok(text) => self.with_text(&text).map_err(|error| unreadable(&format!("{error:#}"))),
        }
    }

    /// Adds the text of a file.
    pub fn with_text(mut self, text: &str) -> Result<Conf> {
        let File { registry, unqualified_search_registries, aliases } = toml::from_str(text)?;
        for new in registry {
            anyhow::ensure!(
                new.prefix.is_some() || new.location.is_some(),
                "a registry has neither prefix nor location"
            );
            self.registries.retain(|old| old.prefix() != new.prefix());
            self.registries.push(new);
        }
        self.short_names.add(unqualified_search_registries, aliases);
        Ok(self)
    }

    /// Parses a reference as the user wrote it, with the system's short names.
    pub fn reference(&self, text: &str) -> Result<Reference> {
        self.short_names.full(text)?.parse()
    }

    /// Lists the places to try for an image, in order. Refuses one that is blocked.
    pub fn endpoints(&self, host: &str, repository: &str, pin: &Pin) -> Result<Vec<Endpoint>> {
        let name = format!("{host}/{repository}");
        let longest =
            self.registries.iter().filter(|registry| registry.covers(&name, pin)).max_by_key(|r| r.prefix().len());
        let Some(registry) = longest else {
            return Ok(vec![Endpoint {
                host: host.to_owned(),
                repository: repository.to_owned(),
                transport: Transport::Tls,
            }]);
        };
        if registry.blocked {
            let found = format!("registries.conf blocks {}, and with it {name}", registry.prefix());
            return Err(refused(found, "name the image in another registry, or ask whoever blocked it"));
        }
        let pinned = matches!(pin, Pin::Digest(_));
        let mirrors = registry.mirror.iter().filter(|mirror| match mirror.pull_from_mirror {
            Pull::All => pinned || !registry.mirror_by_digest_only,
            Pull::DigestOnly => pinned,
            Pull::TagOnly => !pinned,
        });
        let mut places: Vec<(&str, bool)> = mirrors.map(|mirror| (mirror.location.as_str(), mirror.insecure)).collect();
        places.push((registry.location.as_deref().unwrap_or_default(), registry.insecure));
        let mut endpoints = Vec::new();
        for (location, insecure) in places {
            let moved = registry.moved(&name, location);
            let (host, repository) = moved.split_once('/').ok_or_else(|| {
                let found = format!("registries.conf moves {name} to '{moved}', which names no repository");
                refused(found, "correct the location there")
            })?;
            let transports: &[Transport] =
                if insecure { &[Transport::UnverifiedTls, Transport::Plain] } else { &[Transport::Tls] };
            endpoints.extend(transports.iter().map(|transport| Endpoint {
                host: host.to_owned(),
                repository: repository.to_owned(),
                transport: *transport,
            }));
        }
        Ok(endpoints)
    }
}

impl Registry {
    fn prefix(&self) -> &str {
        self.prefix.as_deref().or(self.location.as_deref()).unwrap_or_default()
    }

    /// Returns true if this registry's prefix is that of a name, up to the end of a component.
    fn covers(&self, name: &str, pin: &Pin) -> bool {
        let full = format!("{name}{pin}");
        if let Some(domain) = self.prefix().strip_prefix('*') {
            return name
                .split(['/', ':'])
                .next()
                .is_some_and(|host| host.ends_with(domain) && host.len() > domain.len());
        }
        full.strip_prefix(self.prefix()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@']))
    }

    /// Replaces this registry's prefix of a name by a location; an empty one, and a wildcard, replace nothing.
    fn moved(&self, name: &str, location: &str) -> String {
        match name.strip_prefix(self.prefix()) {
            Some(rest) if !location.is_empty() => format!("{location}{rest}"),
            _ if self.prefix().starts_with('*') && !location.is_empty() => {
                format!("{location}{}", name.find('/').map_or("", |at| &name[at..]))
            }
            _ => name.to_owned(),
        }
    }
}

/// Lists the files `*.conf` of a folder, in order.
fn drop_ins(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "conf")).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(conf: &str, name: &str) -> Vec<String> {
        let conf = Conf::default().with_text(conf).unwrap();
        let Reference::Registry { host, repository, pin } = name.parse().unwrap() else { panic!("{name}") };
        match conf.endpoints(&host, &repository, &pin) {
            Ok(endpoints) => {
                endpoints.iter().map(|e| format!("{}/{} {:?}", e.host, e.repository, e.transport)).collect()
            }
            Err(error) => vec![format!("{error:#}")],
        }
    }

    #[test]
    fn mirrors_come_first_and_the_registry_itself_last() {
        let conf = "[[registry]]\nprefix = 'h.example/os'\nlocation = 'h.example/moved'\n\
                    [[registry.mirror]]\nlocation = 'mirror.example:5000/os'\ninsecure = true\n\
                    [[registry.mirror]]\nlocation = 'second.example'\npull-from-mirror = 'digest-only'\n";
        assert_eq!(
            places(conf, "h.example/os/debian:12"),
            [
                "mirror.example:5000/os/debian UnverifiedTls",
                "mirror.example:5000/os/debian Plain",
                "h.example/moved/debian Tls"
            ]
        );
        let pinned = format!("h.example/os/debian@sha256:{}", "a".repeat(64));
        assert!(places(conf, &pinned).contains(&"second.example/debian Tls".to_owned()));
        assert_eq!(places(conf, "h.example/os2/debian:12"), ["h.example/os2/debian Tls"]);
    }

    #[test]
    fn a_blocked_registry_is_refused_and_the_longest_prefix_decides() {
        let conf = "[[registry]]\nlocation = 'docker.io'\nblocked = true\n\
                    [[registry]]\nprefix = 'docker.io/library/debian'\nlocation = 'h.example/debian'\n\
                    [[registry]]\nprefix = '*.blocked.example'\nblocked = true\n";
        assert!(places(conf, "alpine")[0].contains("blocks docker.io"));
        assert_eq!(places(conf, "debian"), ["h.example/debian Tls"]);
        assert!(places(conf, "a.blocked.example/x/y")[0].contains("blocks"));
        assert_eq!(places(conf, "blocked.example/x/y"), ["blocked.example/x/y Tls"]);
    }

    #[test]
    fn a_later_file_replaces_what_an_earlier_one_says_of_a_registry() {
        let block = "[[registry]]\nlocation = 'h.example'\nblocked = true\n";
        let conf = Conf::default().with_text(block).unwrap();
        let conf = conf.with_text("[[registry]]\nlocation = 'h.example'\n").unwrap();
        assert!(conf.endpoints("h.example", "x", &Pin::Tag("1".to_owned())).is_ok());
        assert!(Conf::default().with_text("[[registry]]\nblocked = true\n").is_err());
        assert!(Conf::default().with_text("[[registry]]\nlocation = 1\n").is_err());
    }
}
