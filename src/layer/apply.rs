//! Applies one layer's entries to a root, separating whiteouts from files and counting everything.

use crate::error::{Result, failed};
use crate::layer::entry::{Entry, Kind};
use crate::layer::path::LayerPath;
use crate::layer::sink::RootSink;
use crate::layer::tar::TarReader;
use crate::words::units::Bytes;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::io::BufRead;

/// The prefix of a whiteout (OCI image specification, layer.md, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// The name of an opaque whiteout.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Names that AUFS keeps for itself in the root directory of a layer (aufs(5)); Docker skips them, too.
const AUFS: [&[u8]; 3] = [b".wh..wh.aufs", b".wh..wh.orph", b".wh..wh.plnk"];

/// The amount that an image may still write, over all its layers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Budget {
    /// Bytes of file content that are left.
    pub bytes: u64,
    /// Entries that are left; each needs an inode or a name.
    pub entries: u64,
}

impl Budget {
    /// Returns the length in bytes of the longest uncompressed archive that can fit this budget: its
    /// content, for each entry a header, padding and an extended header of some size (4 KiB together), and
    /// 1 MiB to spare.
    pub fn stream_max(&self) -> u64 {
        self.bytes.saturating_add(self.entries.saturating_mul(4096)).saturating_add(1 << 20)
    }

    fn charge(&mut self, entry: &Entry) -> Result<()> {
        self.entries = self.entries.checked_sub(1).ok_or_else(|| {
            failed("the image has more files than the slot can hold", "give the slot a larger size: --slot-size")
        })?;
        if let Kind::File { size } = entry.kind {
            self.bytes = self.bytes.checked_sub(size).ok_or_else(|| {
                let found = format!("its {} do not fit: the slot has {} left", Bytes(size), Bytes(self.bytes));
                failed(found, "give the slot a larger size: --slot-size")
            })?;
        }
        Ok(())
    }
}

/// Extended attributes that cannot be written, of which the first of a layer is told.
#[derive(Default)]
struct LeftOut(bool);

impl LeftOut {
    /// Takes them out of an entry: those of another system, and those that Linux gives other types alone: user
    /// attributes files and directories (xattr(7)), access control lists all but links, default ones directories
    /// (acl(5)). containerd leaves them out as well.
    fn take(&mut self, entry: &mut Entry) {
        let (is_link, is_directory) = (matches!(entry.kind, Kind::Symlink { .. }), entry.kind == Kind::Directory);
        let has_none = is_link || matches!(entry.kind, Kind::Node(_));
        let mut names = std::mem::take(&mut entry.foreign);
        let is_misplaced = |name: &[u8]| {
            (has_none && name.starts_with(b"user."))
                || (is_link && name.starts_with(b"system.posix_acl_"))
                || (!is_directory && name == b"system.posix_acl_default")
        };
        names.extend(entry.meta.xattrs.iter().map(|(name, _)| name.clone()).filter(|name| is_misplaced(name)));
        entry.meta.xattrs.retain(|(name, _)| !is_misplaced(name));
        if let (Some(name), false) = (names.first(), self.0) {
            let (path, name) = (&entry.path, name.escape_ascii());
            crate::stderr!(
                "flipslot: warning: {path} has the attribute {name}, which cannot be written here: it and others like it are left out"
            );
            self.0 = true;
        }
    }
}

/// The operation that an entry's name asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Write the entry at its path.
    Put,
    /// Nothing: it is left over from the storage driver AUFS, in the root directory.
    Nothing,
    /// Remove this path: the entry's, without the whiteout prefix.
    Whiteout(LayerPath),
    /// Remove what lower layers put into this directory.
    Opaque(LayerPath),
}

/// Applies one uncompressed layer to `sink` and reads the stream to its very end, so that the
/// reader behind it can verify every byte. An error names the path and what failed there.
pub fn apply(layer: impl BufRead, sink: &mut dyn RootSink, budget: &mut Budget) -> Result<()> {
    sink.begin_layer()?;
    let mut reader = TarReader::new(layer);
    let mut previous: Option<LayerPath> = None;
    let mut left_out = LeftOut::default();
    loop {
        let after = || match &previous {
            Some(path) => format!("reading the entry after {path}"),
            None => "reading the first entry".to_owned(),
        };
        let Some(mut entry) = reader.next_entry().with_context(after)? else { break };
        left_out.take(&mut entry);
        budget.charge(&entry).with_context(|| format!("writing {}", entry.path))?;
        put(&entry, &mut reader, sink).with_context(|| format!("writing {}", entry.path))?;
        previous = Some(entry.path);
    }
    reader.drain()
}

fn put<R: BufRead>(entry: &Entry, reader: &mut TarReader<R>, sink: &mut dyn RootSink) -> Result<()> {
    let Entry { path, meta, kind, .. } = entry;
    match asked(path)? {
        Asked::Whiteout(path) => return sink.whiteout(&path),
        Asked::Opaque(path) => return sink.opaque(&path),
        Asked::Nothing => return Ok(()),
        Asked::Put => {}
    }
    match kind {
        Kind::Directory => sink.directory(path, meta),
        Kind::File { .. } => sink.file(path, meta, &mut reader.body()),
        Kind::Symlink { target } => sink.symlink(path, meta, target),
        Kind::Hardlink { target } => sink.hardlink(path, target),
        Kind::Node(node) => sink.node(path, meta, *node),
    }
}

fn asked(path: &LayerPath) -> Result<Asked> {
    let Some((parent, name)) = path.split() else { return Ok(Asked::Put) };
    let top = path.as_bytes().split(|byte| *byte == b'/').next().unwrap_or_default();
    if AUFS.contains(&top) {
        return Ok(Asked::Nothing);
    }
    if name == OPAQUE {
        return Ok(Asked::Opaque(parent));
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Asked::Put),
        Some(b"" | b"." | b"..") => {
            Err(failed("it is a whiteout of an empty name, of '.' or of '..'", "rebuild the layer"))
        }
        Some(hidden) if hidden.starts_with(WHITEOUT) => {
            Err(failed("it is a kind of whiteout that OCI does not define", "rebuild the layer"))
        }
        Some(hidden) => Ok(Asked::Whiteout(parent.join(hidden))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: &[u8]) -> Result<Asked> {
        asked(&LayerPath::clean(raw).unwrap())
    }

    #[test]
    fn whiteouts_are_told_from_files() {
        assert_eq!(of(b"etc/passwd").unwrap(), Asked::Put);
        assert_eq!(of(b"etc/.whatever").unwrap(), Asked::Put);
        assert_eq!(of(b"etc/.wh.passwd").unwrap(), Asked::Whiteout(LayerPath::clean(b"etc/passwd").unwrap()));
        assert_eq!(of(b"etc/.wh..wh..opq").unwrap(), Asked::Opaque(LayerPath::clean(b"etc").unwrap()));
    }

    #[test]
    fn what_aufs_left_in_the_root_directory_is_skipped() {
        for left in [&b".wh..wh.aufs"[..], b"./.wh..wh.orph", b".wh..wh.plnk/100.2"] {
            assert_eq!(of(left).unwrap(), Asked::Nothing, "{}", left.escape_ascii());
        }
    }

    #[test]
    fn a17_a18_whiteouts_of_dot_dotdot_and_nothing_are_refused() {
        for odd in [&b".wh.."[..], b".wh...", b"etc/.wh...", b".wh.", b"etc/.wh.", b"etc/.wh..wh.aufs"] {
            assert!(of(odd).is_err(), "{}", odd.escape_ascii());
        }
    }
}
