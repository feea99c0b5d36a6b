//! The status of a machine that runs from an image in RAM.

use crate::error::Result;
use crate::init::live_facts::{HostFrom, LiveFacts, WRITTEN};
use crate::output::document::Document;
use crate::words::printable::plain;
use crate::words::units::Bytes;
use anyhow::Context;
use serde::Serialize;
use std::fmt;
use std::fs;
use std::path::Path;

/// Changed paths that are shown to people.
const SHOWN: usize = 20;

/// The status, which docs/status.md describes.
#[derive(Debug, Serialize)]
pub struct LiveStatus {
    #[serde(flatten)]
    facts: LiveFacts,
    /// Paths that were written, replaced or removed since the start, sorted.
    changed: Vec<String>,
}

impl LiveStatus {
    /// Looks at what was written since the start.
    pub fn of(facts: LiveFacts) -> Result<LiveStatus> {
        let mut changed = Vec::new();
        list(Path::new(WRITTEN), &mut changed).context("listing what was written")?;
        changed.sort();
        Ok(LiveStatus { facts, changed })
    }
}

/// Lists all but directories below a folder.
fn list(folder: &Path, found: &mut Vec<String>) -> std::io::Result<()> {
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        // A folder can go away at any time.
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else if let Ok(path) = entry.path().strip_prefix(folder) {
                found.push(format!("/{}", path.display()));
            }
        }
    }
    Ok(())
}

impl Document for LiveStatus {
    fn text(&self) -> String {
        format!("{self}\n")
    }
}

impl fmt::Display for LiveStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LiveFacts { source, digest, format, memory, host, host_from, .. } = &self.facts;
        writeln!(f, "this machine runs from {} ({format}); a restart is that image again", plain(source, 1000))?;
        match digest {
            Some(digest) => writeln!(f, "  digest   sha256:{digest}, compared at the start")?,
            None => writeln!(f, "  digest   none was named")?,
        }
        if *memory > 0 {
            writeln!(f, "  memory   {} for the image", Bytes(*memory))?;
        }
        if let Some(host) = host {
            let from = match host_from {
                Some(HostFrom::Lease) => "by the lease of its address",
                _ => "by flipslot.host=",
            };
            writeln!(f, "  host     {host}, {from}")?;
        }
        write!(f, "  changed  {} files since the start", self.changed.len())?;
        for path in self.changed.iter().take(SHOWN) {
            write!(f, "\n    {}", plain(path, 300))?;
        }
        let more = self.changed.len().saturating_sub(SHOWN);
        if more > 0 {
            write!(f, "\n    and {more} more: flipslot status --json")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_listed_without_folders() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["etc/x", "var/lib/a/b"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut found = Vec::new();
        list(folder.path(), &mut found).unwrap();
        found.sort();
        assert_eq!(found, ["/etc/x", "/var/lib/a/b"]);
    }
}
