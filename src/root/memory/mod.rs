//! An image's root filesystem in memory: every name, and of the contents what the rules read. Needs neither a
//! disk nor privileges.

mod look;
mod nodes;
mod resolve;
pub mod retention;
pub mod spool;
mod whiteouts;

use crate::error::{Result, failed};
use crate::layer::entry::Meta;
use crate::layer::{Budget, LayerPath, RootSink, entry};
use crate::root::memory::nodes::{Body, Id, Node, Nodes, Place};
use crate::root::memory::resolve::{Step, Walk};
use crate::root::memory::retention::{Keep, Wants};
use crate::root::memory::spool::{Contents, Limits};
use crate::root::metadata::SELINUX;
use crate::root::mounted::sink::problem;
use anyhow::Context;
use rustix::io::Errno;
use std::io::BufRead;

/// Limit on the components that all paths of an image may lead through, links included: 64 for each of as
/// many entries as there may be. One path can lead through 80000, by 40 links of 4095 bytes.
const STEPS_MAX: u64 = 1 << 28;

/// A [`RootSink`] that keeps names, modes and sizes, and of the contents what it is asked to keep; and the
/// [`Tree`](crate::root::tree::Tree) of what it kept.
///
/// Treats an image's entries as [`MountedRoot`](crate::root::mounted::sink::MountedRoot) does, and refuses what that
/// refuses, except for what depends on a filesystem: its room, the longest attribute. Owners, times and
/// attributes are not kept, only whether there is an SELinux label.
///
/// Memory: at most 1 GiB for names, for an image that was made to fill it, and 64 MiB for contents; in
/// addition, 2 GiB in `$TMPDIR`.
pub struct KeptTree {
    nodes: Nodes,
    contents: Contents,
    wants: Wants,
    steps: u64,
}

impl KeptTree {
    /// Makes an empty root that will keep what `wants` says; [`wanted::rules_read`] for the rules.
    pub fn new(wants: Wants) -> KeptTree {
        let contents = Contents::new(Limits::OF_AN_IMAGE, std::env::temp_dir());
        KeptTree { nodes: Nodes::new(), contents, wants, steps: 0 }
    }

    /// Returns the limits for an image: as many entries as fit into the memory that names may take, and more
    /// bytes than any slot has, since most of them are not kept.
    pub fn budget() -> Budget {
        Budget { bytes: 1 << 40, entries: 4 << 20 }
    }

    /// Finds the directory `path`, links followed; returns `None` if it is missing and must stay so.
    fn enter(&mut self, path: &LayerPath, missing: Missing) -> Result<Option<Id>> {
        let mut walk = Walk::to(path);
        let found = loop {
            match walk.go(&self.nodes) {
                Ok(Step::Missing { directory, name }) if missing == Missing::Make => {
                    // As MountedRoot makes them; the walk goes on from here.
                    self.nodes.put_directory(Place { directory, name: &name }, 0o755, false)?;
                }
                Ok(Step::Found(id)) if self.nodes.directory(id).is_none() => break Err(Errno::NOTDIR),
                Ok(Step::Found(id)) => break Ok(id),
                Ok(Step::Missing { .. }) => break Err(Errno::NOENT),
                Err(errno) => break Err(errno),
            }
        };
        self.steps = self.steps.saturating_add(walk.steps);
        if self.steps > STEPS_MAX {
            return Err(failed(
                "the image's paths lead through more links than those of any image do",
                "rebuild the image",
            ));
        }
        match found {
            Err(Errno::NOENT | Errno::NOTDIR) if missing == Missing::Skip => Ok(None),
            found => found.map(Some).map_err(problem).with_context(|| format!("opening the directory {path}")),
        }
    }

    /// Finds the directory that holds `path`, made if it is missing, and the name in it.
    fn place<'p>(&mut self, path: &'p LayerPath) -> Result<Place<'p>> {
        let (folder, name) =
            path.split().ok_or_else(|| failed("the root directory cannot be replaced", "rebuild the layer"))?;
        let directory = self.enter(&folder, Missing::Make)?.with_context(|| format!("no directory {folder}"))?;
        Ok(Place { directory, name })
    }
}

/// The way to handle a directory that is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Skip,
}

impl RootSink for KeptTree {
    fn begin_layer(&mut self) -> Result<()> {
        self.nodes.begin_layer()
    }

    fn directory(&mut self, path: &LayerPath, meta: &Meta) -> Result<()> {
        let (mode, labelled) = (meta.mode, is_labelled(meta));
        let id = if path.is_root() {
            nodes::ROOT
        } else {
            let place = self.place(path)?;
            let known = self.nodes.at(place).filter(|id| self.nodes.directory(*id).is_some());
            known.map_or_else(|| self.nodes.put_directory(place, mode, labelled), Ok)?
        };
        let directory = self.nodes.get_mut(id);
        (directory.mode, directory.labelled) = (mode, labelled);
        self.nodes.note_directory(id);
        Ok(())
    }

    fn file(&mut self, path: &LayerPath, meta: &Meta, body: &mut dyn BufRead) -> Result<()> {
        let place = self.place(path)?;
        // No rule names a path that is longer than Linux takes.
        let real = self.nodes.real_path(place);
        let keep = real.map_or(Keep::Nothing, |real| (self.wants)(&real, meta.mode));
        let (size, held) = self.contents.take(body, keep)?;
        self.nodes.put(place, node(Body::File { size, held }, meta))
    }

    fn symlink(&mut self, path: &LayerPath, meta: &Meta, target: &[u8]) -> Result<()> {
        let place = self.place(path)?;
        // A link has this mode in Linux, whatever the layer says (symlink(7)).
        self.nodes.put(place, Node { mode: 0o777, ..node(Body::Symlink { target: target.into() }, meta) })
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

    fn node(&mut self, path: &LayerPath, meta: &Meta, _: entry::Node) -> Result<()> {
        let place = self.place(path)?;
        self.nodes.put(place, node(Body::Other, meta))
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

fn node(body: Body, meta: &Meta) -> Node {
    Node { body, mode: meta.mode, labelled: is_labelled(meta) }
}

fn is_labelled(meta: &Meta) -> bool {
    meta.xattrs.iter().any(|(name, _)| name == SELINUX.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::memory::retention::rules_read;

    #[test]
    fn paths_that_lead_further_than_those_of_any_image_are_refused() {
        let mut tree = KeptTree::new(rules_read);
        let path = LayerPath::clean(b"far/around/x").unwrap();
        let target = "../d/".repeat(500);
        tree.directory(&LayerPath::clean(b"d").unwrap(), &Meta::default()).unwrap();
        tree.symlink(&LayerPath::clean(b"far").unwrap(), &Meta::default(), target.as_bytes()).unwrap();
        tree.file(&path, &Meta::default(), &mut &b""[..]).unwrap();
        assert!(tree.steps > 1000, "{} components", tree.steps);
        tree.steps = STEPS_MAX - 1000;
        let text = format!("{:#}", tree.file(&path, &Meta::default(), &mut &b""[..]).unwrap_err());
        assert!(text.contains("more links than those of any image"), "{text}");
    }
}
