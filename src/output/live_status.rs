//! The status of a machine that runs from an image in RAM.

use crate::boot::configured::Configured;
use crate::boot::trial::BootedBy;
use crate::disk::installed::open::booted_by;
use crate::error::Result;
use crate::init::live_facts::{HostFrom, LiveFacts, WRITTEN};
use crate::output::document::Document;
use crate::words::printable::plain;
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::fs::lgetxattr;
use serde::Serialize;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Changed paths that are shown to people.
const SHOWN: usize = 20;

/// The status, which docs/status.md describes.
#[derive(Debug, Serialize)]
pub struct LiveStatus {
    #[serde(flatten)]
    facts: LiveFacts,
    /// Set on a trial that was not confirmed yet: its end is a reset.
    on_trial: bool,
    /// Set if another system has jumped into this one: a reset leads elsewhere.
    #[serde(skip)]
    by_kexec: bool,
    /// Paths that were written, replaced or removed since the start, or of what is kept, since the image's first start,
    /// sorted; `None` where nothing notes them: the root is
    /// files in memory, with nothing over it.
    changed: Option<Vec<String>>,
    /// Result of what `flipslot.run=` names.
    run: Option<Configured>,
}

impl LiveStatus {
    /// Looks at what was written since the start. Needs root.
    pub fn of(facts: LiveFacts, on_trial: bool) -> Result<LiveStatus> {
        let (mut changed, run) = (Vec::new(), Configured::read()?);
        let by_kexec = booted_by() == Some(BootedBy::Kexec);
        if let Some(folder) = &facts.written {
            list(&Path::new(folder).join("upper"), "", &mut changed).context("listing what was written")?;
            changed.sort();
            return Ok(LiveStatus { facts, on_trial, by_kexec, changed: Some(changed), run });
        }
        let parts = match fs::read_dir(WRITTEN) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(LiveStatus { facts, on_trial, by_kexec, changed: None, run });
            }
            parts => parts.with_context(|| format!("reading {WRITTEN}"))?,
        };
        for part in parts {
            let part = part.with_context(|| format!("reading {WRITTEN}"))?;
            let name = part.file_name().to_string_lossy().into_owned();
            let place = if name == "root" { String::new() } else { format!("/{name}") };
            list(&part.path().join("upper"), &place, &mut changed).context("listing what was written")?;
        }
        changed.sort();
        Ok(LiveStatus { facts, on_trial, by_kexec, changed: Some(changed), run })
    }
}

/// Lists what an upper folder of an overlay at `place` holds: all but directories, and those that hide what was there.
fn list(upper: &Path, place: &str, found: &mut Vec<String>) -> std::io::Result<()> {
    let mut open = vec![upper.to_owned()];
    while let Some(next) = open.pop() {
        let entries = match fs::read_dir(&next) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue, // it was removed since
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let is_folder = entry.file_type()?.is_dir();
            if !is_folder || is_opaque(&path) {
                let within = path.strip_prefix(upper).unwrap_or(&path);
                found.push(format!("{place}/{}", within.display()));
            }
            if is_folder {
                open.push(path);
            }
        }
    }
    Ok(())
}

/// Returns true for a directory that hides the one below it (kernel: filesystems/overlayfs.rst).
fn is_opaque(folder: &Path) -> bool {
    let mut value = [0; 1];
    lgetxattr(folder, "trusted.overlay.opaque", &mut value).is_ok_and(|length| value[..length] == *b"y")
}

impl Document for LiveStatus {
    fn text(&self) -> String {
        format!("{self}\n")
    }
}

impl fmt::Display for LiveStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LiveFacts { source, digest, format, memory, host_layers, host, host_from, .. } = &self.facts;
        let after = if self.by_kexec { "" } else { "; a restart is that image again" };
        writeln!(f, "this machine runs from {} ({format}){after}", plain(source, 1000))?;
        match digest {
            Some(digest) => writeln!(f, "  digest   sha256:{digest}, {}", self.compared())?,
            None => writeln!(f, "  digest   none was named")?,
        }
        for layer in host_layers {
            writeln!(f, "  layer    sha256:{layer}, of this host")?;
        }
        if *memory > 0 {
            writeln!(f, "  memory   {} for the image", Bytes(*memory))?;
        }
        if self.on_trial {
            writeln!(f, "  trial    not confirmed yet: flipslot confirm; a reset boots what it did before")?;
        }
        if let Some(host) = host {
            let from = match host_from {
                Some(HostFrom::HostLayer) => "by the layer of this host",
                Some(HostFrom::NameServer) => "by the name servers of its network",
                Some(HostFrom::Lease) => "by the lease of its address",
                _ => "by flipslot.host=",
            };
            writeln!(f, "  host     {host}, {from}")?;
        }
        if let Some(run) = &self.run {
            writeln!(f, "{}", run.line())?;
        }
        write!(f, "{}", self.changes())
    }
}

impl LiveStatus {
    /// Returns when the root was compared.
    pub(super) fn compared(&self) -> &'static str {
        if self.facts.by_blocks {
            "compared block by block, as it is read (dm-verity)"
        } else {
            "compared at the start"
        }
    }

    /// Returns the lines about what was written.
    pub(super) fn changes(&self) -> String {
        let Some(changed) = &self.changed else {
            return "  changed  not known: the root is files in memory".to_owned();
        };
        let (since, next) = match self.facts.written {
            Some(_) => ("kept for this image", "; to remove them: flipslot reset"),
            None => ("since the start", ""),
        };
        let mut text = format!("  changed  {} files {since}{next}", changed.len());
        changed.iter().take(SHOWN).for_each(|path| text += &format!("\n    {}", plain(path, 300)));
        let more = changed.len().saturating_sub(SHOWN);
        if more > 0 {
            text += &format!("\n    and {more} more: flipslot status --json");
        }
        text
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
        list(folder.path(), "", &mut found).unwrap();
        found.sort();
        assert_eq!(found, ["/etc/x", "/var/lib/a/b"]);
    }
}
