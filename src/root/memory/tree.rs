//! Shows a root in memory to the rules just as a mounted slot is shown.

use crate::error::{Result, failed};
use crate::layer::LayerPath;
use crate::root::memory::MemoryTree;
use crate::root::memory::nodes::{Body, Id, Place};
use crate::root::memory::resolve::{Resolution, Step};
use crate::root::memory::spool::Held;
use crate::root::tree::{Found, Last, Tree, What};
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::io::{self, Errno};
use std::fmt::Display;
use std::io::Read;

impl MemoryTree {
    /// Finds the node at `path`, links followed.
    pub(super) fn find(&self, path: &LayerPath) -> io::Result<Id> {
        match Resolution::of(path).go(&self.nodes)? {
            Step::Found(id) => Ok(id),
            Step::Missing { .. } => Err(Errno::NOENT),
        }
    }

    /// Finds the regular file at `path`: its size, and what was kept of it.
    fn file_at(&self, path: &LayerPath) -> Result<Option<(u64, &Held)>> {
        let Some(id) = present(self.find(path)).with_context(|| format!("opening {path} in the image"))? else {
            return Ok(None);
        };
        match &self.nodes.get(id).body {
            Body::File { size, held } => Ok(Some((*size, held))),
            _ => Err(failed(format!("{path} in the image is not a regular file"), "fix that file in the image")),
        }
    }
}

impl Tree for MemoryTree {
    fn look_at(&self, place: &LayerPath, last: Last) -> Result<Option<Found>> {
        let found = match (last, place.split()) {
            (Last::NoFollow, Some((folder, name))) => {
                self.find(&folder).and_then(|directory| self.nodes.at(Place { directory, name }).ok_or(Errno::NOENT))
            }
            _ => self.find(place),
        };
        let found = present(found).with_context(|| format!("looking at {place} in the image"))?;
        Ok(found.map(|id| {
            let node = self.nodes.get(id);
            let what = match &node.body {
                Body::Directory(_) => What::Directory,
                Body::File { size, .. } => What::File { size: *size },
                Body::Symlink { target } => What::Symlink { target: target.to_vec() },
                Body::Special(_) => What::Other,
            };
            let labelled = node.meta.is_labelled() && what != What::Other;
            Found { what, mode: node.meta.mode(), labelled }
        }))
    }

    fn open_at(&self, place: &LayerPath) -> Result<Option<Box<dyn Read + '_>>> {
        let Some((size, held)) = self.file_at(place)? else { return Ok(None) };
        if held.length() < size {
            return Err(not_kept(place, size, held));
        }
        Ok(Some(self.contents.open(held)))
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        let place = LayerPath::clean(path.as_bytes())?;
        let found = present(self.find(&place)).with_context(|| format!("opening {place} in the image"))?;
        let Some(directory) = found.and_then(|id| self.nodes.directory(id)) else { return Ok(Vec::new()) };
        // In byte order, which is that of strings too.
        Ok(directory.names().filter_map(|name| std::str::from_utf8(name).ok()).map(ToOwned::to_owned).collect())
    }

    /// Works also where only the beginning was kept, if that is long enough.
    fn head(&self, path: &str, length: u64) -> Result<Option<Vec<u8>>> {
        let place = LayerPath::clean(path.as_bytes())?;
        let Some((size, held)) = self.file_at(&place)? else { return Ok(None) };
        if held.length() < size.min(length) {
            return Err(not_kept(place, size, held));
        }
        let mut bytes = Vec::new();
        let kept = self.contents.open(held);
        kept.take(length).read_to_end(&mut bytes).with_context(|| format!("reading {place} in the image"))?;
        Ok(Some(bytes))
    }
}

/// Converts to `None` the errors of a path that does not exist, or whose links lead nowhere or in a circle.
pub(super) fn present(found: io::Result<Id>) -> io::Result<Option<Id>> {
    match found {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        found => found.map(Some),
    }
}

pub(super) fn not_kept(path: impl Display, size: u64, held: &Held) -> anyhow::Error {
    failed(
        format!("of the {} of {path} in the image, only {} were kept", Bytes(size), Bytes(held.length())),
        "if the file has the right length, this is a defect of flipslot: memory/retention.rs lists what rules read",
    )
}
