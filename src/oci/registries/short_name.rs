//! Short names, such as `debian:12`, which name no registry.

use crate::error::{Result, usage};
use std::collections::BTreeMap;

/// The aliases and the registries to search of registries.conf(5).
#[derive(Debug, Default)]
pub struct ShortNames {
    search: Vec<String>,
    aliases: BTreeMap<String, String>,
}

impl ShortNames {
    /// Adds the settings of a file, which hold over those of earlier ones.
    pub fn add(&mut self, search: Option<Vec<String>>, aliases: BTreeMap<String, String>) {
        if let Some(search) = search {
            self.search = search;
        }
        self.aliases.extend(aliases);
    }

    /// Returns a reference with its registry in front: by an alias, or by the only registry that is to be searched.
    /// Refuses a name that could be in several. Without any settings, it is Docker Hub's, as it stands.
    pub fn full(&self, text: &str) -> Result<String> {
        let bare = text.strip_prefix("docker://").unwrap_or(text);
        // What names a transport or a registry is not short. Only a tag or a digest may follow a colon in one that is.
        let first = bare.split('/').next().unwrap_or(bare);
        let is_host = bare.contains('/') && (first.contains(['.', ':']) || first == "localhost");
        let has_transport =
            text == bare && text.split_once(':').is_some_and(|(scheme, _)| TRANSPORTS.contains(&scheme));
        if is_host || has_transport || text != bare {
            return Ok(text.to_owned());
        }
        let end = bare.find('@').or_else(|| bare.find(':')).unwrap_or(bare.len());
        let (name, pin) = bare.split_at(end);
        let name = name.split(':').next().unwrap_or(name);
        if let Some(alias) = self.aliases.get(name).filter(|alias| !alias.is_empty()) {
            return Ok(format!("{alias}{pin}"));
        }
        match &self.search[..] {
            [] => Ok(text.to_owned()),
            [registry] => {
                let registry = registry.trim_end_matches('/');
                // The parser would take another one for a folder of Docker Hub.
                if registry.contains(['.', ':']) || registry == "localhost" {
                    return Ok(format!("{registry}/{bare}"));
                }
                let found =
                    format!("registries.conf has '{registry}' to search for a short name, which does not name a host");
                Err(usage(found, format!("name the registry of {}", bare.escape_debug())))
            }
            several => Err(usage(
                format!("'{}' may be in several registries: {}", text.escape_debug(), several.join(", ")),
                format!("name the one that you mean: {}/{}", several[0], bare.escape_debug()),
            )),
        }
    }
}

/// Transports with references that are no names in a registry (containers-transports(5)).
const TRANSPORTS: [&str; 9] =
    ["oci", "oci-archive", "docker-archive", "dir", "containers-storage", "docker-daemon", "ostree", "sif", "tarball"];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(search: &[&str]) -> ShortNames {
        let aliases = [("debian", "h.example/os/debian"), ("app/web", "h.example/web")];
        let aliases = aliases.map(|(name, full)| (name.to_owned(), full.to_owned()));
        ShortNames { search: search.iter().map(ToString::to_string).collect(), aliases: aliases.into() }
    }

    #[test]
    fn aliases_come_before_registries_to_search() {
        let one = names(&["s.example"]);
        let full = |text: &str| one.full(text).unwrap();
        assert_eq!(full("debian:12"), "h.example/os/debian:12");
        assert_eq!(full("app/web"), "h.example/web");
        assert_eq!(full("alpine"), "s.example/alpine");
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(full(&format!("debian@{digest}")), format!("h.example/os/debian@{digest}"));
        assert_eq!(full(&format!("debian:12@{digest}")), format!("h.example/os/debian@{digest}"));
        for same in ["h:5000/debian", "localhost/debian", "docker://debian", "oci:debian", "docker-archive:x:debian"] {
            assert_eq!(full(same), same);
        }
    }

    #[test]
    fn a_name_that_could_be_in_several_registries_is_refused() {
        let error = names(&["s.example", "t.example"]).full("alpine").unwrap_err();
        assert!(format!("{error:#}").contains("s.example, t.example"), "{error:#}");
        assert_eq!(names(&[]).full("alpine").unwrap(), "alpine");
    }
}
