//! Walks over a root in memory.

use crate::error::Result;
use crate::layer::entry;
use crate::root::memory::MemoryTree;
use crate::root::memory::nodes::{Body, Id, Name, ROOT};
use crate::root::memory::tree::not_kept;
use crate::root::walk::{NodeKind, Visited, Walk};
use std::collections::btree_map::Iter;
use std::io::Read;

impl Walk for MemoryTree {
    fn walk(&self, visit: &mut dyn FnMut(&Visited) -> Result<()>) -> Result<()> {
        let mut path = Vec::new();
        let mut way: Vec<Level> = Vec::new();
        self.visit(ROOT, &path, visit)?;
        way.extend(self.level(ROOT, &path));
        while let Some(level) = way.last_mut() {
            path.truncate(level.length);
            let Some((name, Name { node, .. })) = level.names.next() else {
                way.pop();
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            self.visit(*node, &path, visit)?;
            way.extend(self.level(*node, &path));
        }
        Ok(())
    }
}

/// A directory on the way from the root to the node that is being visited.
struct Level<'t> {
    /// Length of the directory's path in bytes.
    length: usize,
    /// Names that were not visited yet.
    names: Iter<'t, Box<[u8]>, Name>,
}

impl MemoryTree {
    /// Begins to list a directory; returns `None` for any other node.
    fn level(&self, id: Id, path: &[u8]) -> Option<Level<'_>> {
        self.nodes.directory(id).map(|directory| Level { length: path.len(), names: directory.names.iter() })
    }

    fn visit(&self, id: Id, path: &[u8], visit: &mut dyn FnMut(&Visited) -> Result<()>) -> Result<()> {
        let node = self.nodes.get(id);
        let content = || -> Result<Box<dyn Read + '_>> {
            match &node.body {
                Body::File { size, held } if held.length() < *size => {
                    Err(not_kept(format_args!("/{}", path.escape_ascii()), *size, held))
                }
                Body::File { held, .. } => Ok(self.contents.open(held)),
                _ => Ok(Box::new(&b""[..])),
            }
        };
        let kind = match &node.body {
            Body::Directory(_) => NodeKind::Directory,
            Body::File { size, .. } => NodeKind::File { size: *size },
            Body::Symlink { target } => NodeKind::Symlink { target: target.to_vec() },
            Body::Special(entry::Node::Fifo) => NodeKind::Fifo,
            Body::Special(entry::Node::Character { major, minor }) => {
                NodeKind::Character { major: *major, minor: *minor }
            }
            Body::Special(entry::Node::Block { major, minor }) => NodeKind::Block { major: *major, minor: *minor },
        };
        let (meta, links) = (node.meta.unpack(), node.links().into());
        visit(&Visited { path, meta, kind, inode: id.number(), links, content: &content })
    }
}
