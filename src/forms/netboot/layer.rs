//! The layer of flipslot: what it added to an image, which the initramfs lays over the root. The root as one file has the
//! image's own bytes.

use crate::archive::write_cpio::Archive;
use crate::error::{Result, failed};
use crate::init::overlay::LAYER;
use crate::layer::entry::Meta;
use crate::root::changes::{Change, Snapshot};
use crate::root::walk::{NodeKind, Visited, Walk};
use anyhow::Context;
use std::io::{Read, Write};

/// Largest file of the layer in bytes: flipslot itself has a fourth of it.
const LARGEST: u64 = 64 << 20;

/// Losses of a layer, each with the first path: what people must know.
#[derive(Debug, Default)]
pub struct Losses {
    /// Path whose extended attributes are lost: the form has no room for them.
    pub attributes: Option<String>,
    /// Path that was removed, and is still in the root as one file.
    pub removed: Option<String>,
}

/// Writes an archive with the changes of a root since `before`, but for its initramfs. Returns what it cannot do.
pub fn write(before: Snapshot, root: &dyn Walk, initramfs: &str, out: impl Write) -> Result<Losses> {
    let (mut archive, mut losses) = (Archive::to(out), Losses::default());
    let first = |path: &[u8]| Some(format!("/{}", path.escape_ascii()));
    before.changes(root, &mut |change| match change {
        Change::Put(node) if node.path == initramfs.as_bytes() => Ok(()),
        Change::Put(node) => {
            if !node.meta.xattrs.is_empty() {
                losses.attributes = losses.attributes.take().or_else(|| first(node.path));
            }
            put(&mut archive, node)
        }
        Change::Removed(path) => {
            losses.removed = losses.removed.take().or_else(|| first(path));
            // A whiteout of overlayfs (kernel: filesystems/overlayfs.rst).
            archive.add_device(&place(path)?, (0, 0))
        }
    })?;
    archive.finish()?;
    Ok(losses)
}

fn put(archive: &mut Archive<impl Write>, node: &Visited) -> Result<()> {
    let Meta { mode, uid, gid, mtime, .. } = node.meta;
    // The form has room for times from 1970 to 2106.
    let owned = (uid, gid, u32::try_from(mtime.seconds).unwrap_or(0));
    let path = place(node.path)?;
    match &node.kind {
        NodeKind::Directory => archive.add_owned(&path, 0o40_000 | mode, owned, &[]),
        NodeKind::Symlink { target } => archive.add_owned(&path, 0o120_777, owned, target),
        NodeKind::File { size } if *size <= LARGEST => {
            let mut content = Vec::new();
            node.open()?.read_to_end(&mut content).with_context(|| format!("reading {path}"))?;
            archive.add_owned(&path, 0o100_000 | mode, owned, &content)
        }
        _ => {
            let found = format!("/{} cannot be in a layer of flipslot", node.path.escape_ascii());
            Err(failed(found, "fix the image by other means, without --fix"))
        }
    }
}

/// Returns the path in the initramfs of a path in the root.
fn place(path: &[u8]) -> Result<String> {
    let path = std::str::from_utf8(path).context("flipslot changed a file whose name is not UTF-8")?;
    let layer = LAYER.trim_start_matches('/');
    Ok(if path.is_empty() { layer.to_owned() } else { format!("{layer}/{path}") })
}
