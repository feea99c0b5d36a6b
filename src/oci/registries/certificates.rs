//! Certificates by host (containers-certs.d(5)): authorities that sign for one registry, and the client's own.

use crate::oci::home;
use std::path::{Path, PathBuf};

/// The folders that hold one folder a registry: the system's, then Docker's.
const FOLDERS: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// The certificates for one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Authorities (`*.crt`).
    pub authorities: Vec<PathBuf>,
    /// The client's certificate (`*.cert`) with its key (`*.key`).
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Certificates {
    /// Finds those of `host` (with its port) in the first folder that has any.
    pub fn find(host: &str) -> Certificates {
        let user = home::settings().map(|folder| folder.join("certs.d"));
        let folders = user.into_iter().chain(FOLDERS.map(PathBuf::from));
        folders
            .map(|folder| Certificates::of(&folder.join(host)))
            .find(|found| *found != Certificates::default())
            .unwrap_or_default()
    }

    fn of(folder: &Path) -> Certificates {
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.sort();
        let ends = |path: &Path, end: &str| path.extension().is_some_and(|found| found == end);
        let client =
            files.iter().find(|path| ends(path, "cert")).map(|path| (path.clone(), path.with_extension("key")));
        Certificates { authorities: files.into_iter().filter(|path| ends(path, "crt")).collect(), client }
    }
}
