//! The nodes of an image's root, in memory: one list of nodes, and directories that refer to them by number.
//! No node owns another one, so nothing here recurses, however deep a tree is.

use crate::error::{Result, failed};
use crate::layer::LayerPath;
use crate::layer::entry::{self, Meta};
use crate::layer::path::PATH_MAX;
use crate::root::memory::meta::PackedMeta;
use crate::root::memory::spool::Held;
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::mem;

/// Limit on the bytes that all nodes, names and attributes take. Debian 12 with a kernel takes 3 MiB of it. In a slot,
/// its inodes are the limit; here one entry of 4095 bytes can ask for 2000 directories.
const MEMORY_MAX: u64 = 1 << 30;
/// Bytes of a name and its node, besides the text: the node, 48 in the map of a directory whose leaves are
/// half full, 32 for the allocator.
const NAME_COST: u64 = size_of::<Node>() as u64 + 80;
/// Additional bytes of a directory: the first leaf of its map has room for 11 names.
const DIRECTORY_COST: u64 = 320;

/// The number of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(u32);

impl Id {
    /// Returns the number.
    pub fn number(self) -> u64 {
        self.0.into()
    }
}

/// The root directory, which is always there.
pub const ROOT: Id = Id(0);

/// The position of a name in a directory.
#[derive(Clone, Copy)]
pub struct Place<'p> {
    /// Directory that the name is in.
    pub directory: Id,
    /// One component, neither `.` nor `..`.
    pub name: &'p [u8],
}

/// A file, directory, link or other node, like an inode.
pub struct Node {
    /// Type of the node, with its data.
    pub body: Body,
    /// Owner, mode, time and extended attributes.
    pub meta: PackedMeta,
    /// Number of names.
    links: u32,
}

impl Node {
    /// Returns the number of names that the node has; 1 for a directory that is in use.
    pub fn links(&self) -> u32 {
        self.links
    }
}

/// The types of nodes, with what only that type has.
pub enum Body {
    /// A directory, with its names.
    Directory(Directory),
    /// A regular file of `size` bytes.
    File {
        /// Length of the content in bytes.
        size: u64,
        /// Kept part of the content.
        held: Held,
    },
    /// A symbolic link.
    Symlink {
        /// Target of the link, 1 to 4095 bytes.
        target: Box<[u8]>,
    },
    /// A device or FIFO.
    Special(entry::Node),
}

/// A directory, which has one name only: Linux allows no hard links to directories.
pub struct Directory {
    name: Box<[u8]>,
    parent: Id,
    /// Last layer that named the directory, or wrote below it.
    pub(super) written: u32,
    /// Last layer that removed what lower layers had put here; later names are that layer's own.
    pub(super) cleared: u32,
    pub(super) names: BTreeMap<Box<[u8]>, Name>,
}

/// The node behind a name in a directory.
pub(super) struct Name {
    pub(super) node: Id,
    /// Layer that put the name there.
    pub(super) layer: u32,
}

impl Directory {
    /// Returns the directory that holds this one; the root holds itself.
    pub fn parent(&self) -> Id {
        self.parent
    }

    /// Returns the node called `name` in the directory.
    pub fn get(&self, name: &[u8]) -> Option<Id> {
        self.names.get(name).map(|name| name.node)
    }

    /// Iterates over the names in the directory, in byte order.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.keys().map(AsRef::as_ref)
    }
}

/// All nodes, and the layer that is being written.
pub struct Nodes {
    nodes: Vec<Node>,
    pub(super) layer: u32,
    /// Bytes of [`MEMORY_MAX`] that are left. Removing a node does not give any back.
    room: u64,
}

impl Nodes {
    /// Makes an empty root directory: 0755 as mkfs makes it, owner root, time 1970.
    pub fn new() -> Nodes {
        let directory = Directory { name: [].into(), parent: ROOT, written: 0, cleared: 0, names: BTreeMap::new() };
        let meta = PackedMeta::of(&Meta { mode: 0o755, ..Meta::default() });
        let root = Node { body: Body::Directory(directory), meta, links: 1 };
        Nodes { nodes: vec![root], layer: 0, room: MEMORY_MAX }
    }

    /// Begins a new layer: whiteouts from here on spare what this layer writes.
    pub fn begin_layer(&mut self) -> Result<()> {
        self.layer = self.layer.checked_add(1).context("counting the layers")?;
        Ok(())
    }

    /// Returns the node with this number.
    pub fn get(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Like [`Nodes::get`], but for changing the node.
    pub fn get_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// Returns the directory with this number, if the node is one.
    pub fn directory(&self, id: Id) -> Option<&Directory> {
        match &self.get(id).body {
            Body::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    pub(super) fn directory_mut(&mut self, id: Id) -> Option<&mut Directory> {
        match &mut self.get_mut(id).body {
            Body::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// Returns the node at a place.
    pub fn at(&self, place: Place) -> Option<Id> {
        self.directory(place.directory)?.get(place.name)
    }

    /// Puts a file, link or other node at a place, and removes what was there.
    pub fn put(&mut self, place: Place, body: Body, meta: &Meta) -> Result<()> {
        let text = if let Body::Symlink { target } = &body { target.len() as u64 } else { 0 };
        let id = self.add(body, meta, text)?;
        self.link(place, id)
    }

    /// Puts an empty directory at a place, and removes what was there.
    pub fn put_directory(&mut self, place: Place, meta: &Meta) -> Result<Id> {
        let Place { directory: parent, name } = place;
        // Nothing of lower layers is in it.
        let (written, cleared) = (self.layer, self.layer);
        let directory = Directory { name: name.into(), parent, written, cleared, names: BTreeMap::new() };
        let id = self.add(Body::Directory(directory), meta, DIRECTORY_COST)?;
        self.link(place, id)?;
        Ok(id)
    }

    fn add(&mut self, body: Body, meta: &Meta, cost: u64) -> Result<Id> {
        let meta = PackedMeta::of(meta);
        self.charge(cost.saturating_add(meta.attribute_bytes()))?;
        let id = Id(u32::try_from(self.nodes.len()).context("counting the image's files")?);
        self.nodes.push(Node { body, meta, links: 0 });
        Ok(id)
    }

    /// Replaces all metadata of a node.
    pub fn set_meta(&mut self, id: Id, meta: &Meta) -> Result<()> {
        let meta = PackedMeta::of(meta);
        self.charge(meta.attribute_bytes())?;
        self.get_mut(id).meta = meta;
        Ok(())
    }

    /// Gives the node `id` one more name, and removes what was there.
    pub fn link(&mut self, place: Place, id: Id) -> Result<()> {
        self.charge(NAME_COST + 2 * place.name.len() as u64)?;
        self.remove(place);
        let name = Name { node: id, layer: self.layer };
        let directory = self.directory_mut(place.directory).ok_or(Errno::NOTDIR)?;
        directory.names.insert(place.name.into(), name);
        let links = &mut self.get_mut(id).links;
        *links = links.saturating_add(1);
        self.note_directory(place.directory);
        Ok(())
    }

    fn charge(&mut self, cost: u64) -> Result<()> {
        self.room = self.room.checked_sub(cost).ok_or_else(|| {
            failed(
                format!("the names and attributes in the image alone need more than {} of memory", Bytes(MEMORY_MAX)),
                "rebuild the image with fewer files",
            )
        })?;
        Ok(())
    }

    /// Removes the node at a place, with all that is in it.
    pub fn remove(&mut self, place: Place) {
        let gone = self.directory_mut(place.directory).and_then(|directory| directory.names.remove(place.name));
        self.empty(gone.into_iter().map(|name| name.node).collect());
    }

    /// Takes a name from each of these nodes, which lost it; empties directories, and those in them.
    pub(super) fn empty(&mut self, mut gone: Vec<Id>) {
        while let Some(id) = gone.pop() {
            let links = &mut self.get_mut(id).links;
            *links = links.saturating_sub(1);
            if let Some(directory) = self.directory_mut(id) {
                gone.extend(mem::take(&mut directory.names).into_values().map(|name| name.node));
            }
        }
    }

    /// Returns the path to a place, with no link in it; `None` if it is longer than Linux allows.
    pub fn real_path(&self, place: Place) -> Option<LayerPath> {
        let (mut names, mut length, mut id) = (vec![place.name], place.name.len(), place.directory);
        while let Some(directory) = self.directory(id).filter(|_| id != ROOT) {
            length = length.saturating_add(directory.name.len() + 1);
            if length > PATH_MAX {
                return None;
            }
            names.push(&directory.name);
            id = directory.parent;
        }
        names.reverse();
        LayerPath::clean(&names.join(&b'/')).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_more_memory_than_there_is_for_them_are_refused() {
        let mut nodes = Nodes::new();
        nodes.room = 5 * (NAME_COST + DIRECTORY_COST + 2);
        let mut directory = ROOT;
        for _ in 0..5 {
            directory = nodes.put_directory(Place { directory, name: b"d" }, &Meta::default()).unwrap();
        }
        let text = format!("{:#}", nodes.link(Place { directory, name: b"f" }, directory).unwrap_err());
        assert!(text.contains("need more than 1GiB of memory"), "{text}");
    }

    #[test]
    fn a_path_that_is_longer_than_linux_takes_is_none() {
        let mut nodes = Nodes::new();
        let (name, mut directory) = ([b'n'; 255], ROOT);
        for depth in 1..=16 {
            let place = Place { directory, name: &name };
            let length = nodes.real_path(place).map(|path| path.as_bytes().len());
            assert_eq!(length, Some(depth * 256 - 1));
            directory = nodes.put_directory(place, &Meta::default()).unwrap();
        }
        assert_eq!(nodes.real_path(Place { directory, name: b"" }), None);
    }
}
