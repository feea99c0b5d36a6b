//! The places of all inodes and of all data in an image, decided before anything is written.

use crate::error::Result;
use crate::layer::entry::Meta;
use crate::root::erofs::directory::{self, DIRECTORY, Name, kind_of};
use crate::root::erofs::format::{BLOCK, INODE_SIZE, SUPERBLOCK, SUPERBLOCK_SIZE};
use crate::root::erofs::xattrs;
use crate::root::walk::{NodeKind, Walk};
use anyhow::Context;
use std::collections::BTreeMap;

/// Unit in which an inode's number counts, in bytes (erofs_fs.h, EROFS_ISLOTBITS).
const SLOT: u64 = 32;

/// A node with its place.
#[derive(Debug)]
pub struct Node {
    /// Owner, mode, time and attributes.
    pub meta: Meta,
    /// Type of the node.
    pub kind: NodeKind,
    /// Number for stat(2), from 1.
    pub number: u32,
    /// Number of its names.
    pub links: u32,
    /// Names in a directory, sorted, with `.` and `..`.
    pub names: Vec<Name>,
    /// Length of its data in bytes.
    pub length: u64,
    /// Size of its attributes behind the inode, in bytes.
    pub xattrs: u64,
    /// Set if the rest of its data after whole blocks is behind the inode.
    pub is_inline: bool,
    /// Number of the block with the first of its whole blocks.
    pub first_block: u32,
    /// Offset of the inode in units of 32 bytes.
    slot: u64,
}

/// An image before it is written.
pub struct Image {
    /// All nodes, the root first.
    pub nodes: Vec<Node>,
    /// Index of a node by the number that the walk gives it.
    pub index: BTreeMap<u64, usize>,
    /// Size of the image in blocks.
    pub blocks: u64,
}

impl Image {
    /// Walks over a root, and gives everything its place.
    pub fn of(root: &dyn Walk) -> Result<Image> {
        let mut image = Image { nodes: Vec::new(), index: BTreeMap::new(), blocks: 0 };
        // The directories above the node that is visited: a walk goes into one before it goes to the next.
        let mut above: Vec<usize> = Vec::new();
        root.walk(&mut |visited| {
            let index = match image.index.get(&visited.inode) {
                Some(known) => *known,
                None => image.add(visited.meta.clone(), visited.kind.clone(), visited.links)?,
            };
            image.index.insert(visited.inode, index);
            let name = visited.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let depth = match visited.path {
                b"" => 0,
                path => 1 + path.iter().filter(|byte| **byte == b'/').count(),
            };
            above.truncate(depth);
            let parent = above.last().copied().unwrap_or(index); // the root's own is the root
            if visited.kind == NodeKind::Directory {
                above.push(index);
                for (name, node) in [(b".".as_slice(), index), (b"..", parent)] {
                    image.nodes[index].names.push(Name { name: name.to_vec(), node, kind: DIRECTORY });
                }
            }
            if !name.is_empty() {
                let kind = kind_of(&visited.kind);
                image.nodes[parent].names.push(Name { name: name.to_vec(), node: index, kind });
            }
            Ok(())
        })?;
        image.place()?;
        Ok(image)
    }

    fn add(&mut self, meta: Meta, kind: NodeKind, links: u64) -> Result<usize> {
        let number = u32::try_from(self.nodes.len() + 1).context("numbering the files")?;
        let links = u32::try_from(links).context("counting links")?;
        let xattrs = xattrs::size_of(&meta.xattrs);
        let (names, length, is_inline, first_block, slot) = (Vec::new(), 0, false, 0, 0);
        self.nodes.push(Node { meta, kind, number, links, names, length, xattrs, is_inline, first_block, slot });
        Ok(self.nodes.len() - 1)
    }

    /// Places the inodes after the superblock, and whole blocks after the inodes.
    fn place(&mut self) -> Result<()> {
        let mut at = SUPERBLOCK + SUPERBLOCK_SIZE;
        for node in &mut self.nodes {
            node.names.sort_by(|one, other| one.name.cmp(&other.name));
            (node.length, node.links) = match &node.kind {
                NodeKind::Directory => {
                    let below = node.names.iter().filter(|name| name.kind == DIRECTORY).count(); // `.` and `..` among them
                    (directory::length_of(&node.names), u32::try_from(below)?)
                }
                NodeKind::File { size } => (*size, node.links),
                NodeKind::Symlink { target } => (target.len() as u64, node.links),
                _ => (0, node.links),
            };
            let head = INODE_SIZE + node.xattrs;
            let tail = node.length % BLOCK;
            node.is_inline = tail > 0 && head + tail <= BLOCK;
            let behind = if node.is_inline { head + tail } else { head.min(BLOCK) };
            // Neither an inode nor what is behind it lies across the end of a block.
            if at % BLOCK + behind > BLOCK {
                at = at.next_multiple_of(BLOCK);
            }
            node.slot = at / SLOT;
            at = (at + head + if node.is_inline { tail } else { 0 }).next_multiple_of(SLOT);
        }
        let mut block = at.div_ceil(BLOCK);
        for node in self.nodes.iter_mut().filter(|node| node.length > 0) {
            let whole = if node.is_inline { node.length / BLOCK } else { node.length.div_ceil(BLOCK) };
            node.first_block = if whole == 0 { 0 } else { u32::try_from(block).context("the image is too large")? };
            block += whole;
        }
        self.blocks = block;
        Ok(())
    }

    /// Returns the data of a node that is not a regular file.
    pub fn data_of(&self, node: &Node) -> Vec<u8> {
        match &node.kind {
            NodeKind::Directory => directory::encode(&node.names, |index| self.nodes[index].slot),
            NodeKind::Symlink { target } => target.clone(),
            _ => Vec::new(),
        }
    }

    /// Returns the offset of an inode in bytes.
    pub fn offset_of(&self, node: &Node) -> u64 {
        node.slot * SLOT
    }

    /// Returns the number of the root's inode, which comes first.
    pub fn root_number(&self) -> u16 {
        self.nodes.first().and_then(|root| u16::try_from(root.slot).ok()).unwrap_or(0)
    }
}
