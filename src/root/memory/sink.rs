//! Writes layers into a root in memory.

use crate::error::{Result, failed};
use crate::layer::entry::{Meta, Node};
use crate::layer::{LayerPath, RootSink};
use crate::root::memory::MemoryTree;
use crate::root::memory::nodes::{Body, Id, Place, ROOT};
use crate::root::memory::resolve::{Resolution, Step};
use crate::root::memory::retention::Retain;
use crate::root::mounted::sink::problem;
use anyhow::Context;
use rustix::io::Errno;
use std::io::BufRead;

/// The way to handle a directory that is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Make,
    Skip,
}

impl MemoryTree {
    /// Finds the directory `path`, links followed; returns `None` if it is missing and must stay so.
    pub(super) fn enter(&mut self, path: &LayerPath, missing: Missing) -> Result<Option<Id>> {
        let mut way = Resolution::of(path);
        let found = loop {
            match way.go(&self.nodes) {
                Ok(Step::Missing { directory, name }) if missing == Missing::Make => {
                    // As MountedRoot makes them; the resolution goes on from here.
                    let meta = Meta { mode: 0o755, ..Meta::default() };
                    self.nodes.put_directory(Place { directory, name: &name }, &meta)?;
                }
                Ok(Step::Found(id)) if self.nodes.directory(id).is_none() => break Err(Errno::NOTDIR),
                Ok(Step::Found(id)) => break Ok(id),
                Ok(Step::Missing { .. }) => break Err(Errno::NOENT),
                Err(errno) => break Err(errno),
            }
        };
        self.lookups.add_entry();
        self.lookups.spend(way.steps)?;
        match found {
            Err(Errno::NOENT | Errno::NOTDIR) if missing == Missing::Skip => Ok(None),
            found => found.map(Some).map_err(problem).with_context(|| format!("opening the directory {path}")),
        }
    }

    /// Finds the directory that holds `path`, made if it is missing, and the name in it.
    pub(super) fn place<'p>(&mut self, path: &'p LayerPath) -> Result<Place<'p>> {
        let (folder, name) =
            path.split().ok_or_else(|| failed("the root directory cannot be replaced", "rebuild the layer"))?;
        let directory = self.enter(&folder, Missing::Make)?.with_context(|| format!("no directory {folder}"))?;
        Ok(Place { directory, name })
    }
}

impl RootSink for MemoryTree {
    fn begin_layer(&mut self) -> Result<()> {
        self.nodes.begin_layer()
    }

    fn directory(&mut self, path: &LayerPath, meta: &Meta) -> Result<()> {
        let id = if path.is_root() {
            ROOT
        } else {
            let place = self.place(path)?;
            let known = self.nodes.at(place).filter(|id| self.nodes.directory(*id).is_some());
            known.map_or_else(|| self.nodes.put_directory(place, &Meta::default()), Ok)?
        };
        self.nodes.set_meta(id, meta)?;
        self.nodes.note_directory(id);
        Ok(())
    }

    fn file(&mut self, path: &LayerPath, meta: &Meta, body: &mut dyn BufRead) -> Result<()> {
        let place = self.place(path)?;
        let retain = match self.retention {
            None => Retain::All,
            // No rule names a path that is longer than Linux takes.
            Some(select) => self.nodes.real_path(place).map_or(Retain::Nothing, |real| select(&real, meta.mode)),
        };
        let (size, held) = self.contents.take(body, retain)?;
        self.nodes.put(place, Body::File { size, held }, meta)
    }

    fn symlink(&mut self, path: &LayerPath, meta: &Meta, target: &[u8]) -> Result<()> {
        let place = self.place(path)?;
        // A link has this mode in Linux, whatever the layer says (symlink(7)).
        let meta = Meta { mode: 0o777, ..meta.clone() };
        self.nodes.put(place, Body::Symlink { target: target.into() }, &meta)
    }

    fn hardlink(&mut self, path: &LayerPath, target: &LayerPath) -> Result<()> {
        let (folder, name) =
            target.split().ok_or_else(|| failed("a hard link to the root directory", "rebuild the layer"))?;
        let missing = || format!("making a hard link to {target}, which must be in this layer or a lower one");
        let folder = self.enter(&folder, Missing::Skip).with_context(missing)?;
        let place = self.place(path)?;
        // The replaced node is removed first: a link to itself, or to something below it, then finds no
        // target.
        self.nodes.remove(place);
        let first = folder.and_then(|directory| self.nodes.at(Place { directory, name }));
        let first = first.ok_or(Errno::NOENT).with_context(missing)?;
        if self.nodes.directory(first).is_some() {
            return Err(Errno::PERM).with_context(missing);
        }
        self.nodes.link(place, first)
    }

    fn node(&mut self, path: &LayerPath, meta: &Meta, node: Node) -> Result<()> {
        let place = self.place(path)?;
        self.nodes.put(place, Body::Special(node), meta)
    }

    fn whiteout(&mut self, path: &LayerPath) -> Result<()> {
        let Some((folder, name)) = path.split() else { return Ok(()) };
        if let Some(directory) = self.enter(&folder, Missing::Skip)? {
            self.nodes.whiteout(Place { directory, name });
        }
        Ok(())
    }

    fn opaque(&mut self, path: &LayerPath) -> Result<()> {
        if let Some(directory) = self.enter(path, Missing::Skip)? {
            self.nodes.opaque(directory);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
