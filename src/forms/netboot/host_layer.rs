//! Layers of hosts: what the image of a host has beyond the image that the host boots, as one small file that its initramfs
//! lays over the root (init/host_layer.rs).

use crate::boot::root_on::LiveFormat;
use crate::disk::new::file::{Existing, NewFile};
use crate::error::{Result, failed, refused};
use crate::forms::image::identity_of;
use crate::forms::netboot::boot::{HostLayer, LAYERS};
use crate::forms::netboot::images::name_of;
use crate::init::host_layer::{BASE, FILES, OF_KERNEL};
use crate::layer::entry::{Meta, Node};
use crate::layer::{LayerPath, RootSink};
use crate::oci::Image;
use crate::publish::written_file::WrittenFile;
use crate::root::changes::{Change, Snapshot};
use crate::root::edit::Edit;
use crate::root::memory::MemoryTree;
use crate::root::packed::Packing;
use crate::root::tree::{Last, Tree};
use crate::root::walk::{NodeKind, Visited, Walk};
use crate::words::digest::Digest;
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Files that are never in a layer that anyone on the way can read: passwords (shadow(5), gshadow(5)).
const SECRETS: [&str; 4] = ["etc/shadow", "etc/shadow-", "etc/gshadow", "etc/gshadow-"];

/// The images of a host.
pub struct OfHost<'h> {
    /// Image that it boots.
    pub base: &'h Image,
    /// Digest of that image's root, as `root=` names it.
    pub root: &'h Digest,
    /// Image of the host, whose first layers are those of the base.
    pub image: &'h Image,
    /// Set if anyone on the way can read what machines fetch.
    pub in_the_clear: bool,
}

/// The layers of a netboot folder.
pub struct Layers {
    folder: PathBuf,
}

impl Layers {
    /// Opens the layers of `folder`.
    pub fn open(folder: &Path) -> Result<Layers> {
        let folder = folder.join(LAYERS);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Layers { folder })
    }

    /// Writes the layer of a host, unless it is there.
    pub fn put(&self, of: &OfHost, packing: &Packing) -> Result<HostLayer> {
        let Packing { format, compression, .. } = packing;
        let program = Digest::of_stream(File::open("/proc/self/exe").context("opening this program's own file")?)?;
        let depends = format!("{} {format:?} {compression:?} {} {}", of.root, of.in_the_clear, program.hex());
        let name = format!("{}.{}", name_of(&of.image.digest, &depends), LiveFormat::from(*format).name());
        let path = self.folder.join(&name);
        if !path.exists() {
            let new = NewFile::make(&path, Existing::Refuse, "partial")?;
            packing.pack(&self.tree(of)?, identity_of(of.image), new.file(), &new.open_path())?;
            new.flush()?;
            new.publish()?;
        }
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        let (reference, image) = (of.image.reference.to_string(), of.image.digest.clone());
        Ok(HostLayer { reference, image, base: of.root.clone(), file: WrittenFile::of(&name, &file)? })
    }

    /// Returns the tree of the layer's file: the digest of its base, and the files by which the host's image differs.
    fn tree(&self, of: &OfHost) -> Result<MemoryTree> {
        let above = of.image.above(of.base)?;
        let mut whole = MemoryTree::complete(self.folder.clone());
        of.base.apply_to(&mut whole, MemoryTree::budget(), |_| {})?;
        let before = Snapshot::of(&whole)?;
        let of_kernel = directories_of_kernel(&whole)?;
        above.apply_to(&mut whole, MemoryTree::budget(), |_| {})?;
        let mut layer =
            Filling { tree: MemoryTree::complete(self.folder.clone()), of, of_kernel, names: BTreeMap::new() };
        before.changes(&whole, &mut |change| match change {
            Change::Put(node) => layer.put(node).with_context(|| format!("/{}", node.path.escape_ascii())),
            Change::Removed(path) => layer.hide(path).with_context(|| format!("/{}", path.escape_ascii())),
        })?;
        let mut tree = layer.tree;
        if tree.look(FILES, Last::NoFollow)?.is_none() {
            // A host without a file of its own: the folder is mounted all the same.
            tree.directory(&path_in_layer(b"")?, &Meta { mode: 0o755, ..Meta::default() })?;
        }
        tree.put_text(&LayerPath::clean(BASE.as_bytes())?, format!("{}\n", of.root).as_bytes())?;
        RootSink::finish(&mut tree)?;
        Ok(tree)
    }

    /// Removes the layers that none of `used` names.
    pub fn remove_unused(&self, used: &BTreeSet<String>) -> Result<()> {
        let reading = || format!("reading {}", self.folder.display());
        for entry in fs::read_dir(&self.folder).with_context(reading)? {
            let path = entry.with_context(reading)?.path();
            if path.file_name().is_some_and(|name| !used.contains(&*name.to_string_lossy())) {
                fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }
}

/// A layer that is being filled.
struct Filling<'f> {
    tree: MemoryTree,
    of: &'f OfHost<'f>,
    /// The kernel's directories in the base.
    of_kernel: BTreeMap<Vec<u8>, Meta>,
    /// First name of each file that has several.
    names: BTreeMap<u64, LayerPath>,
}

impl Filling<'_> {
    fn put(&mut self, node: &Visited) -> Result<()> {
        let path = path_in_layer(node.path)?;
        let is_same = |before: &Meta| Meta { mtime: node.meta.mtime, ..before.clone() } == node.meta;
        if node.kind == NodeKind::Directory && self.of_kernel.get(node.path).is_some_and(is_same) {
            return Ok(()); // listed again, with another time: it stays as it is
        }
        refuse_of_kernel(node.path)?;
        if node.kind == NodeKind::Directory {
            return self.tree.directory(&path, &node.meta);
        }
        self.refuse_secret(node.path)?;
        if let Some(target) = self.names.get(&node.inode).filter(|_| node.links > 1) {
            return self.tree.hardlink(&path, target);
        }
        self.names.insert(node.inode, path.clone());
        match &node.kind {
            NodeKind::Directory => Ok(()),
            NodeKind::File { .. } => self.tree.file(&path, &node.meta, &mut BufReader::new(node.open()?)),
            NodeKind::Symlink { target } => self.tree.symlink(&path, &node.meta, target),
            NodeKind::Character { major, minor } => {
                self.node(&path, node, Node::Character { major: *major, minor: *minor })
            }
            NodeKind::Block { major, minor } => self.node(&path, node, Node::Block { major: *major, minor: *minor }),
            NodeKind::Fifo => self.node(&path, node, Node::Fifo),
            NodeKind::Socket => {
                Err(failed("a socket cannot be in the layer of a host", "remove it from the image of the host"))
            }
        }
    }

    fn node(&mut self, path: &LayerPath, visited: &Visited, node: Node) -> Result<()> {
        self.tree.node(path, &visited.meta, node)
    }

    /// Hides what the base has at a path.
    fn hide(&mut self, path: &[u8]) -> Result<()> {
        refuse_of_kernel(path)?;
        self.tree.node(&path_in_layer(path)?, &Meta::default(), Node::Character { major: 0, minor: 0 })
    }

    /// Refuses a secret where anyone on the way can read it.
    fn refuse_secret(&self, path: &[u8]) -> Result<()> {
        let is_key = path.starts_with(b"etc/ssh/ssh_host_") && path.ends_with(b"_key");
        if self.of.in_the_clear && (is_key || SECRETS.iter().any(|secret| path == secret.as_bytes())) {
            let found = "it is a secret, and machines fetch the layer of a host by plain HTTP, as anyone can";
            return Err(refused(found, "serve the folder by https: --url; or leave it out of the host's image"));
        }
        Ok(())
    }
}

/// Returns the kernel's directories by their paths.
fn directories_of_kernel(root: &dyn Walk) -> Result<BTreeMap<Vec<u8>, Meta>> {
    let mut found = BTreeMap::new();
    root.walk(&mut |node| {
        if node.kind == NodeKind::Directory && is_of_kernel(node.path) {
            found.insert(node.path.to_owned(), node.meta.clone());
        }
        Ok(())
    })?;
    Ok(found)
}

/// Returns true for a path of the kernel's.
fn is_of_kernel(path: &[u8]) -> bool {
    let is_below = |folder: &str| {
        path.strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
    };
    OF_KERNEL.iter().any(|folder| is_below(folder))
}

/// Refuses a path that no layer of a host has: the initramfs takes none with it, either.
fn refuse_of_kernel(path: &[u8]) -> Result<()> {
    if is_of_kernel(path) {
        let found = "a layer of a host cannot change it: kernel and modules are those of the image that the host boots";
        return Err(refused(found, "change that image instead, and build the host's image on it again"));
    }
    Ok(())
}

/// Returns the path in the layer's file of a path in the root.
fn path_in_layer(path: &[u8]) -> Result<LayerPath> {
    LayerPath::clean(&[FILES.as_bytes(), b"/", path].concat())
}
