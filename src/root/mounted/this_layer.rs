//! Records what the current layer has written: whiteouts remove only what lower layers put there.
//!
//! Paths are identified by inode numbers, not by text, so that two names of one directory (merged-usr) are
//! one. A directory is its inode; anything else is its parent's inode and its name.

use rustix::fs::{AtFlags, FileType, fstat, statat};
use rustix::io;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd};

use crate::root::metadata;
use crate::root::mounted::remove;

/// The entries of one layer, as hashes of 8 bytes so that a million of them stay small.
pub struct ThisLayer {
    root: u64,
    directories: HashSet<u64>,
    others: HashSet<u64>,
    hash: RandomState,
}

impl ThisLayer {
    /// Begins with no entries, below the root directory with this inode.
    pub fn new(root: u64) -> ThisLayer {
        ThisLayer { root, directories: HashSet::new(), others: HashSet::new(), hash: RandomState::new() }
    }

    /// Forgets all entries, because a new layer begins.
    pub fn clear(&mut self) {
        self.directories.clear();
        self.others.clear();
    }

    /// Notes a file, link or node that this layer put into the directory with inode `parent`.
    pub fn note(&mut self, parent: u64, name: &[u8]) {
        self.others.insert(self.hash.hash_one((parent, name)));
    }

    /// Notes a directory that this layer named, or that is above something it wrote, and those above it, up
    /// to the root.
    pub fn note_directory(&mut self, directory: BorrowedFd) -> io::Result<()> {
        let mut here = directory.try_clone_to_owned().map_err(|_| io::Errno::MFILE)?;
        loop {
            let inode = fstat(&here)?.st_ino;
            if !self.directories.insert(inode) || inode == self.root {
                return Ok(());
            }
            here = remove::open_directory(here.as_fd(), b"..")?;
        }
    }

    /// Returns whether this layer named the directory with this inode, or wrote below it.
    fn has_directory(&self, inode: u64) -> bool {
        self.directories.contains(&inode)
    }

    fn has(&self, parent: u64, name: &[u8]) -> bool {
        self.others.contains(&self.hash.hash_one((parent, name)))
    }

    /// Removes `name` from `parent`, except what this layer wrote. It is not an error if nothing is there.
    pub fn whiteout(&self, parent: BorrowedFd, name: &[u8]) -> io::Result<()> {
        let stat = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(io::Errno::NOENT | io::Errno::NOTDIR) => return Ok(()),
            stat => stat?,
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            let inode = fstat(parent)?.st_ino;
            return if self.has(inode, name) { Ok(()) } else { remove::tree(parent, name) };
        }
        if !self.has_directory(stat.st_ino) {
            return remove::tree(parent, name);
        }
        // This layer wrote into it: its own depth bounds the recursion.
        self.opaque(remove::open_directory(parent, name)?.as_fd())
    }

    /// Removes what lower layers put into `directory`, which keeps its time.
    pub fn opaque(&self, directory: BorrowedFd) -> io::Result<()> {
        let mtime = metadata::mtime_of(directory)?;
        for name in remove::names(directory)? {
            self.whiteout(directory, name.as_bytes())?;
        }
        metadata::set_mtime(directory, mtime)
    }
}
