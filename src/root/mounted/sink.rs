//! Writes layers into a mounted filesystem, each path through a descriptor of its parent.

use crate::error::{Result, failed};
use crate::layer::entry::{Meta, Node, Time};
use crate::layer::{LayerPath, RootSink};
use crate::root::lookups::Lookups;
use crate::root::metadata;
use crate::root::metadata::What;
use crate::root::mounted::directory::Root;
use crate::root::mounted::resolve_path::Way;
use crate::root::mounted::this_layer::ThisLayer;
use crate::root::mounted::{remove, resolve_path};
use anyhow::Context;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, fstat, linkat, makedev, mkdirat, mknodat, openat, statat, symlinkat,
};
use rustix::io::{self, Errno};
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A [`RootSink`] that writes into a directory.
///
/// The directory of the previous entry is kept open, because most entries have the same one; when the next
/// entry is elsewhere, the directory gets back the time that it had. So a directory's time is the one that
/// its own entry gave it, whatever was written into it later.
pub struct MountedRoot {
    root: Root,
    parent: Option<Parent>,
    this_layer: ThisLayer,
    lookups: Lookups,
}

/// The directory that the last entry was written into.
struct Parent {
    path: LayerPath,
    directory: OwnedFd,
    inode: u64,
    mtime: Time,
    noted: bool,
}

impl MountedRoot {
    /// Writes below `root`, which no other process may reach in the meantime.
    pub fn new(root: Root) -> Result<MountedRoot> {
        let this_layer = ThisLayer::new(fstat(root.fd())?.st_ino);
        Ok(MountedRoot { root, parent: None, this_layer, lookups: Lookups::default() })
    }

    /// Returns the root, for reading what was written.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Opens the directory that holds `path`, made if it is missing; returns it with the name in it.
    fn parent_of<'p>(&mut self, path: &'p LayerPath) -> Result<(&mut Parent, &'p [u8])> {
        let (directory, name) =
            path.split().ok_or_else(|| failed("the root directory cannot be replaced", "rebuild the layer"))?;
        self.enter(&directory, Missing::Make)?.with_context(|| format!("no directory {directory}"))?;
        let name = &path.as_bytes()[path.as_bytes().len() - name.len()..];
        let parent = self.parent.as_mut().with_context(|| format!("no directory {directory}"))?;
        Ok((parent, name))
    }

    /// Makes `path` the open directory; returns `None` if it is missing and must stay so.
    fn enter(&mut self, path: &LayerPath, missing: Missing) -> Result<Option<&mut Parent>> {
        if self.parent.as_ref().is_none_or(|parent| parent.path != *path) {
            self.leave()?;
            let directory = match self.directory(path, missing)? {
                Err(Errno::NOENT | Errno::NOTDIR) if missing == Missing::Skip => return Ok(None),
                directory => directory.map_err(problem).with_context(|| format!("opening the directory {path}"))?,
            };
            let inode = fstat(&directory)?.st_ino;
            let mtime = metadata::mtime_of(&directory)?;
            self.parent = Some(Parent { path: path.clone(), directory, inode, mtime, noted: false });
        }
        Ok(self.parent.as_mut())
    }

    /// Opens a directory, links followed; makes what is missing if it is to be made. The outer error says that the
    /// layers' links have made too much work.
    fn directory(&mut self, path: &LayerPath, missing: Missing) -> Result<io::Result<OwnedFd>> {
        self.lookups.add_entry();
        match self.root.directory_without_links(path) {
            Err(Errno::NOENT) if missing == Missing::Make => {}
            Err(Errno::LOOP | Errno::XDEV | Errno::AGAIN) => {}
            opened => return Ok(opened),
        }
        let make: &dyn Fn(BorrowedFd, &[u8]) -> io::Result<()> = match missing {
            Missing::Make => &new_directory,
            Missing::Skip => &|_, _| Err(Errno::NOENT),
        };
        let mut way = Way::making(make).at_most(self.lookups.left());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = resolve_path::open_or_make(self.root.fd(), path.as_bytes(), flags, &mut way);
        self.lookups.spend(way.behind_links)?;
        Ok(opened)
    }

    /// Closes the open directory, and gives it back the time that it had.
    fn leave(&mut self) -> Result<()> {
        if let Some(parent) = self.parent.take() {
            metadata::set_mtime(&parent.directory, parent.mtime)
                .with_context(|| format!("setting the time of {}", parent.path))?;
        }
        Ok(())
    }

    /// Runs `make` for `path`; removes first what is there already.
    fn put<T>(&mut self, path: &LayerPath, make: impl Fn(BorrowedFd, &[u8]) -> io::Result<T>) -> Result<T> {
        let (parent, name) = self.parent_of(path)?;
        let directory = parent.directory.as_fd();
        let made = match make(directory, name) {
            Err(Errno::EXIST) => {
                remove::tree(directory, name).map_err(problem).context("replacing what lower layers put there")?;
                make(directory, name).map(|made| (made, Stood::Something))
            }
            made => made.map(|made| (made, Stood::Nothing)),
        };
        let (made, stood) = made.map_err(problem)?;
        self.note(path)?;
        if stood == Stood::Something {
            // The removed node may have been a link that led to the open directory: the next path is resolved
            // again.
            self.leave()?;
        }
        Ok(made)
    }

    /// Notes that this layer wrote `path`, in the open directory.
    fn note(&mut self, path: &LayerPath) -> Result<()> {
        let (Some(parent), Some((_, name))) = (&mut self.parent, path.split()) else { return Ok(()) };
        self.this_layer.note(parent.inode, name);
        if !parent.noted {
            self.this_layer.note_directory(parent.directory.as_fd())?;
            parent.noted = true;
        }
        Ok(())
    }
}

/// The state of a path before an entry was put there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stood {
    Something,
    Nothing,
}

/// The way to handle a directory that is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Skip,
}

impl RootSink for MountedRoot {
    fn begin_layer(&mut self) -> Result<()> {
        self.leave()?;
        self.this_layer.clear();
        Ok(())
    }

    fn directory(&mut self, path: &LayerPath, meta: &Meta) -> Result<()> {
        if path.is_root() {
            self.leave()?;
            return metadata::set(self.root.fd(), meta).map_err(problem);
        }
        let (parent, name) = self.parent_of(path)?;
        let known = statat(&parent.directory, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let is_directory = known.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        let directory = if is_directory {
            remove::open_directory(parent.directory.as_fd(), name).map_err(problem)?
        } else {
            self.put(path, |parent, name| {
                mkdirat(parent, name, Mode::RWXU)?;
                remove::open_directory(parent, name)
            })?
        };
        metadata::set(&directory, meta).map_err(problem).context("setting owner, mode, attributes and time")?;
        Ok(self.this_layer.note_directory(directory.as_fd())?)
    }

    fn file(&mut self, path: &LayerPath, meta: &Meta, body: &mut dyn BufRead) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.put(path, |parent, name| openat(parent, name, flags, Mode::RUSR | Mode::WUSR))?;
        loop {
            let ready = body.fill_buf().map_err(crate::error::from_io)?;
            if ready.is_empty() {
                break;
            }
            let written = io::retry_on_intr(|| io::write(&file, ready)).map_err(problem)?;
            body.consume(written);
        }
        metadata::set(&file, meta).map_err(problem).context("setting owner, mode, attributes and time")
    }

    fn symlink(&mut self, path: &LayerPath, meta: &Meta, target: &[u8]) -> Result<()> {
        self.put(path, |parent, name| {
            symlinkat(target, parent, name)?;
            metadata::set_at(parent, name, meta, What::Link)
        })
    }

    fn hardlink(&mut self, path: &LayerPath, target: &LayerPath) -> Result<()> {
        let (folder, first) =
            target.split().ok_or_else(|| failed("a hard link to the root directory", "rebuild the layer"))?;
        let missing = || format!("making a hard link to {target}, which must be in this layer or a lower one");
        let folder = self.directory(&folder, Missing::Skip)?.map_err(problem).with_context(missing)?;
        self.put(path, |parent, name| linkat(&folder, first, parent, name, AtFlags::empty())).with_context(missing)
    }

    fn node(&mut self, path: &LayerPath, meta: &Meta, node: Node) -> Result<()> {
        let (kind, device) = match node {
            Node::Character { major, minor } => (FileType::CharacterDevice, makedev(major, minor)),
            Node::Block { major, minor } => (FileType::BlockDevice, makedev(major, minor)),
            Node::Fifo => (FileType::Fifo, 0),
        };
        self.put(path, |parent, name| {
            mknodat(parent, name, kind, Mode::RUSR, device)?;
            metadata::set_at(parent, name, meta, What::Node)
        })
    }

    fn whiteout(&mut self, path: &LayerPath) -> Result<()> {
        let Some((directory, name)) = path.split() else { return Ok(()) };
        if self.enter(&directory, Missing::Skip)?.is_none() {
            return Ok(());
        }
        let Some(parent) = &self.parent else { return Ok(()) };
        self.this_layer
            .whiteout(parent.directory.as_fd(), name)
            .map_err(problem)
            .context("removing what lower layers put there")?;
        self.leave() // the removed node may have been a link on the way here
    }

    fn opaque(&mut self, path: &LayerPath) -> Result<()> {
        if self.enter(path, Missing::Skip)?.is_none() {
            return Ok(());
        }
        let Some(parent) = &self.parent else { return Ok(()) };
        self.this_layer
            .opaque(parent.directory.as_fd())
            .map_err(problem)
            .context("removing what lower layers put there")?;
        self.leave()
    }

    fn finish(&mut self) -> Result<()> {
        self.leave()
    }
}

/// Makes a directory that no entry describes: 0755, root, 1970, so that two runs make the same. Its parent
/// keeps its time.
pub(crate) fn new_directory(parent: BorrowedFd, name: &[u8]) -> io::Result<()> {
    // The walk opens with O_PATH, which is not enough to set a time.
    let parent = remove::open_directory(parent, b".")?;
    let before = metadata::mtime_of(&parent)?;
    mkdirat(&parent, name, Mode::RWXU)?;
    let directory = remove::open_directory(parent.as_fd(), name)?;
    metadata::set(&directory, &Meta { mode: 0o755, ..Meta::default() })?;
    metadata::set_mtime(parent, before)
}

/// Converts the error of a system call, with the next step where there is one.
pub(crate) fn problem(errno: Errno) -> anyhow::Error {
    match errno {
        Errno::NOSPC => failed("the slot is full", "give the slot a larger size: --slot-size"),
        Errno::TOOBIG => failed(
            "its extended attributes are larger than this filesystem takes; ext4 takes 4 KiB for a file",
            "choose another one: --filesystem xfs",
        ),
        Errno::LOOP => {
            failed("the path leads through a loop of symbolic links, or through more than 40", "rebuild the layer")
        }
        other => other.into(),
    }
}
