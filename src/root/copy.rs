//! Copies one root into another.

use crate::error::Result;
use crate::layer::entry::{Meta, Node};
use crate::layer::{LayerPath, RootSink};
use crate::root::walk::{NodeKind, Visited, Walk};
use anyhow::Context;
use std::collections::HashMap;
use std::io::BufReader;

/// Copies all nodes of `root` with their metadata into `sink`, as one layer; hard links stay hard links.
/// Sockets are left out: they belong to a program that listens. Fails for a path that is longer than Linux
/// accepts.
pub fn copy_to(root: &dyn Walk, sink: &mut dyn RootSink) -> Result<()> {
    copy_changed(root, sink, &|_| {})
}

/// Like [`copy_to`], but calls `change` for the metadata of each node first.
pub fn copy_changed(root: &dyn Walk, sink: &mut dyn RootSink, change: &dyn Fn(&mut Meta)) -> Result<()> {
    sink.begin_layer()?;
    let mut first_names = HashMap::new();
    root.walk(&mut |visited| {
        let copying = || format!("copying /{}", visited.path.escape_ascii());
        if visited.kind == NodeKind::Socket {
            return Ok(());
        }
        let path = match visited.path {
            b"" => LayerPath::root(),
            path => LayerPath::clean(path)?,
        };
        if visited.kind != NodeKind::Directory && visited.links > 1 {
            if let Some(first) = first_names.get(&visited.inode) {
                return sink.hardlink(&path, first).with_context(copying);
            }
            first_names.insert(visited.inode, path.clone());
        }
        let mut meta = visited.meta.clone();
        change(&mut meta);
        put(visited, &path, &meta, sink).with_context(copying)
    })?;
    sink.finish()
}

fn put(visited: &Visited, path: &LayerPath, meta: &Meta, sink: &mut dyn RootSink) -> Result<()> {
    match &visited.kind {
        NodeKind::Directory => sink.directory(path, meta),
        NodeKind::File { .. } => sink.file(path, meta, &mut BufReader::new(visited.open()?)),
        NodeKind::Symlink { target } => sink.symlink(path, meta, target),
        NodeKind::Character { major, minor } => sink.node(path, meta, Node::Character { major: *major, minor: *minor }),
        NodeKind::Block { major, minor } => sink.node(path, meta, Node::Block { major: *major, minor: *minor }),
        NodeKind::Fifo => sink.node(path, meta, Node::Fifo),
        NodeKind::Socket => Ok(()),
    }
}
