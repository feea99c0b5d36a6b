//! registries.conf(5), version 2: what is read of it, and where an image is fetched from because of it.

use crate::error::{Result, refused};
use crate::oci::home;
use crate::oci::reference::{Pin, Reference};
use crate::oci::registries::endpoint::{Endpoint, Transport};
use crate::oci::registries::short_name::ShortNames;
use crate::oci::registries::table::Registry;
use anyhow::{Context, ensure};
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
    /// Of version 1 of the format.
    registries: Option<toml::Table>,
}

impl Conf {
    /// Reads the files that the system has: that of `CONTAINERS_REGISTRIES_CONF`, else the user's, else the system's,
    /// and the drop-ins of the system and the user.
    pub fn find() -> Result<Conf> {
        let user = home::settings().map(|folder| folder.join("registries.conf"));
        let named = env::var_os("CONTAINERS_REGISTRIES_CONF").filter(|file| !file.is_empty()).map(PathBuf::from);
        let mut conf = Conf::default();
        let main = match named {
            Some(file) if file.is_file() => return Conf::default().with(&file),
            Some(file) => {
                let found = format!("CONTAINERS_REGISTRIES_CONF names {}, which is not a file", file.display());
                return Err(refused(found, "name one that exists, or unset the variable"));
            }
            None => user.clone().filter(|file| file.is_file()).unwrap_or_else(|| SYSTEM.into()),
        };
        let folders = [Some(Path::new(SYSTEM).to_owned()), user].into_iter().flatten();
        let mut files = vec![main];
        for file in folders {
            files.extend(drop_ins(&file.with_extension("conf.d"))?);
        }
        for file in files {
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

    /// Adds the text of a file. Two tables of it for the same names must be equal; those of earlier files are replaced.
    pub fn with_text(mut self, text: &str) -> Result<Conf> {
        let File { registry, unqualified_search_registries, aliases, registries } = toml::from_str(text)?;
        ensure!(registries.is_none(), "it has version 1 of the format, which flipslot does not read");
        let mut file: Vec<Registry> = Vec::new();
        for new in registry {
            let new = new.normalised()?;
            match file.iter().find(|old| old.prefix() == new.prefix()) {
                Some(old) => ensure!(*old == new, "two tables for {} differ", new.prefix()),
                None => file.push(new),
            }
        }
        self.registries.retain(|old| !file.iter().any(|new| new.prefix() == old.prefix()));
        self.registries.extend(file);
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
        let covering = self.registries.iter().filter(|registry| registry.covers(&name));
        match covering.max_by_key(|registry| registry.prefix().len()) {
            Some(registry) => registry.endpoints(&name, pin),
            None => {
                let (host, repository) = (host.to_owned(), repository.to_owned());
                Ok(vec![Endpoint { host, repository, transport: Transport::Tls }])
            }
        }
    }
}

/// Lists the files `*.conf` of a folder, in order; none if there is no such folder.
fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("listing {}", folder.display()))?,
    };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "conf")).collect();
    files.sort();
    Ok(files)
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
                "mirror.example:5000/os/debian Tls",
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
    }

    #[test]
    fn what_would_silently_not_count_is_refused() {
        let slash = "[[registry]]\nlocation = 'h.example/'\nblocked = true\n";
        assert!(places(slash, "h.example/x:1")[0].contains("blocks"));
        let empty = "[[registry]]\nprefix = ''\nlocation = 'h.example'\nblocked = true\n";
        assert!(places(empty, "h.example/x:1")[0].contains("blocks"));
        for odd in [
            "[[registry]]\nblocked = true\n",
            "[[registry]]\nlocation = 1\n",
            "[[registry]]\nlocation = 'https://h.example'\n",
            "[[registry]]\nprefix = 'h.example/os/debian:12'\nlocation = 'h.example'\n",
            "[[registry]]\nprefix = '*.example/os'\n",
            "[[registry]]\nlocation = 'h'\n[[registry.mirror]]\nlocation = '/'\n",
            "[[registry]]\nlocation = 'h'\nblocked = true\n[[registry]]\nlocation = 'h'\n",
            "[registries.block]\nregistries = ['h.example']\n",
        ] {
            assert!(Conf::default().with_text(odd).is_err(), "{odd}");
        }
    }
}
