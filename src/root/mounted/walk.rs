//! Walks over a mounted root, one descriptor at a time.

use crate::error::Result;
use crate::layer::entry::Meta;
use crate::root::metadata;
use crate::root::mounted::directory::Root;
use crate::root::mounted::remove::{names, open_directory};
use crate::root::walk::{NodeKind, Visited, Walk};
use anyhow::Context;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, major, minor, openat, readlinkat};
use rustix::io;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

/// Visits the nodes of the root's own filesystem; a directory where another one is mounted is visited without
/// its content.
impl Walk for Root {
    fn walk(&self, visit: &mut dyn FnMut(&Visited) -> Result<()>) -> Result<()> {
        let here = open_directory(self.fd(), b".").context("opening the root")?;
        let device = fstat(&here)?.st_dev;
        let mut way = Way { here, path: Vec::new(), left: Vec::new(), device };
        way.visit(c".", visit)?;
        way.left.push(sorted(&way.here).context("listing the root")?);
        while let Some(left) = way.left.last_mut() {
            match left.pop() {
                Some(name) => way.step(&name, visit)?,
                None => way.go_up()?,
            }
        }
        Ok(())
    }
}

/// The way from the root to the directory that is being visited.
struct Way {
    here: OwnedFd,
    /// Path of `here`, and within one step of the node in it.
    path: Vec<u8>,
    /// For each directory on the way, the names that were not visited yet, the last first.
    left: Vec<Vec<CString>>,
    /// Filesystem of the root.
    device: u64,
}

impl Way {
    /// Visits one name in `here`, and goes down if it is a directory.
    fn step(&mut self, name: &CStr, visit: &mut dyn FnMut(&Visited) -> Result<()>) -> Result<()> {
        let length = self.path.len();
        if length > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.to_bytes());
        let node = self.visit(name, visit)?;
        if node.kind == NodeKind::Directory && node.stat.st_dev == self.device {
            self.here = open_directory(self.here.as_fd(), name.to_bytes()).with_context(|| self.listing())?;
            self.left.push(sorted(&self.here).with_context(|| self.listing())?);
        } else {
            self.path.truncate(length);
        }
        Ok(())
    }

    fn visit(&self, name: &CStr, visit: &mut dyn FnMut(&Visited) -> Result<()>) -> Result<Node> {
        let node = Node::read(&self.here, name).with_context(|| self.listing())?;
        let content = || -> Result<Box<dyn Read>> {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let file = openat(&self.here, name, flags, Mode::empty()).with_context(|| self.listing())?;
            Ok(Box::new(File::from(file)))
        };
        #[allow(clippy::useless_conversion)] // 32 bits on some architectures, 64 on others
        let links = if node.kind == NodeKind::Directory { 1 } else { u64::from(node.stat.st_nlink) };
        let (meta, kind) = (node.meta.clone(), node.kind.clone());
        visit(&Visited { path: &self.path, meta, kind, inode: node.stat.st_ino, links, content: &content })?;
        Ok(node)
    }

    fn go_up(&mut self) -> Result<()> {
        self.left.pop();
        if !self.left.is_empty() {
            // No other process can reach the slot to move a directory: `..` is where we came from.
            self.here = open_directory(self.here.as_fd(), b"..").with_context(|| self.listing())?;
            self.path.truncate(self.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
        }
        Ok(())
    }

    fn listing(&self) -> String {
        format!("reading /{} in the slot", self.path.escape_ascii())
    }
}

/// A node as the filesystem describes it.
struct Node {
    stat: Stat,
    meta: Meta,
    kind: NodeKind,
}

impl Node {
    /// Reads the node `name` in `parent`; of a link itself.
    fn read(parent: &OwnedFd, name: &CStr) -> io::Result<Node> {
        let place = openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fstat(&place)?;
        let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => NodeKind::Directory,
            FileType::RegularFile => NodeKind::File { size: stat.st_size.cast_unsigned() },
            FileType::Symlink => NodeKind::Symlink { target: readlinkat(&place, c"", Vec::new())?.into_bytes() },
            FileType::CharacterDevice => NodeKind::Character { major, minor },
            FileType::BlockDevice => NodeKind::Block { major, minor },
            FileType::Fifo => NodeKind::Fifo,
            FileType::Socket | FileType::Unknown => NodeKind::Socket,
        };
        Ok(Node { meta: metadata::of(&place)?, stat, kind })
    }
}

/// Returns the names in a directory, the last in byte order first.
fn sorted(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = names(directory.as_fd())?;
    names.sort_unstable_by(|one, other| other.cmp(one));
    Ok(names)
}
