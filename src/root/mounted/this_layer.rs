//! Records what the current layer has written: whiteouts remove only what lower layers put there.
//!
//! Paths are identified by inode numbers, not by text, so that two names of one directory (merged-usr) are
//! one. A directory is its inode; anything else is its parent's inode and its name.

use rustix::fs::{AtFlags, FileType, fstat, statat};
use rustix::io;
use std::collections::HashSet;
use std::ffi::CString;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd};

use crate::root::metadata;
use crate::root::mounted::remove;

/// The entries of one layer, as hashes of 8 bytes so that a million of them stay small.
pub struct ThisLayer {
    root: u64,
    directories: HashSet<u64>,
    others: HashSet<u64>,
    /// Inodes of the directories in which lower layers have nothing any more.
    cleared: HashSet<u64>,
    hash: RandomState,
}

impl ThisLayer {
    /// Begins with no entries, below the root directory with this inode.
    pub fn new(root: u64) -> ThisLayer {
        let (directories, others, cleared) = (HashSet::new(), HashSet::new(), HashSet::new());
        ThisLayer { root, directories, others, cleared, hash: RandomState::new() }
    }

    /// Forgets all entries, because a new layer begins.
    pub fn clear(&mut self) {
        self.directories.clear();
        self.others.clear();
        self.cleared.clear();
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
    pub fn whiteout(&mut self, parent: BorrowedFd, name: &[u8]) -> io::Result<()> {
        match self.remove(parent, name) {
            Ok(Left::Directory) => self.opaque(remove::open_directory(parent, name)?.as_fd()),
            Ok(Left::Nothing) | Err(io::Errno::NOENT | io::Errno::NOTDIR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Removes what lower layers put into `directory` and the directories in it, which keep their times. Each
    /// directory is read once for a layer: after that, it holds nothing of lower layers.
    pub fn opaque(&mut self, directory: BorrowedFd) -> io::Result<()> {
        let mut here = directory.try_clone_to_owned().map_err(|_| io::Errno::MFILE)?;
        let mut left: Vec<Vec<CString>> = vec![self.clear_directory(here.as_fd())?];
        while let Some(pending) = left.last_mut() {
            if let Some(child) = pending.pop() {
                here = remove::open_directory(here.as_fd(), child.as_bytes())?;
                left.push(self.clear_directory(here.as_fd())?);
            } else {
                left.pop();
                if !left.is_empty() {
                    here = remove::open_directory(here.as_fd(), b"..")?;
                }
            }
        }
        Ok(())
    }

    /// Removes what lower layers put into one directory; returns the directories that stay in it.
    fn clear_directory(&mut self, directory: BorrowedFd) -> io::Result<Vec<CString>> {
        if !self.cleared.insert(fstat(directory)?.st_ino) {
            return Ok(Vec::new());
        }
        let mtime = metadata::mtime_of(directory)?;
        let mut directories = Vec::new();
        for name in remove::names(directory)? {
            if self.remove(directory, name.as_bytes())? == Left::Directory {
                directories.push(name);
            }
        }
        metadata::set_mtime(directory, mtime)?;
        Ok(directories)
    }

    /// Removes one name with all that is in it, unless this layer wrote it, or wrote below it.
    fn remove(&self, parent: BorrowedFd, name: &[u8]) -> io::Result<Left> {
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            if self.has_directory(stat.st_ino) {
                return Ok(Left::Directory);
            }
        } else if self.has(fstat(parent)?.st_ino, name) {
            return Ok(Left::Nothing);
        }
        remove::tree(parent, name).map(|()| Left::Nothing)
    }
}

/// Rest to examine after a removal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// The directory, in which lower layers may have something.
    Directory,
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, mkdirat, open};

    #[test]
    fn a35_a_whiteout_goes_deeper_than_any_stack_or_number_of_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let top = open(folder.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let mut layer = ThisLayer::new(fstat(&top).unwrap().st_ino);
        let mut here = top.try_clone().unwrap();
        for _ in 0..20_000 {
            mkdirat(&here, "d", Mode::RWXU).unwrap();
            mkdirat(&here, "lower", Mode::RWXU).unwrap();
            here = remove::open_directory(here.as_fd(), b"d").unwrap();
        }
        layer.note_directory(here.as_fd()).unwrap();
        layer.whiteout(top.as_fd(), b"d").unwrap();
        layer.opaque(top.as_fd()).unwrap();
        let up = remove::open_directory(here.as_fd(), b"..").unwrap();
        assert_eq!(remove::names(up.as_fd()).unwrap(), [c"d".to_owned()]);
        remove::tree(top.as_fd(), b"d").unwrap();
    }

    #[test]
    fn a_directory_is_read_once_for_a_layer() {
        let folder = tempfile::tempdir().unwrap();
        let top = open(folder.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let mut layer = ThisLayer::new(fstat(&top).unwrap().st_ino);
        layer.opaque(top.as_fd()).unwrap();
        // A layer cannot do that: what is there now was not there when the directory was read.
        mkdirat(&top, "unseen", Mode::RWXU).unwrap();
        layer.opaque(top.as_fd()).unwrap();
        assert_eq!(remove::names(top.as_fd()).unwrap(), [c"unseen".to_owned()]);
        layer.clear();
        layer.opaque(top.as_fd()).unwrap();
        assert!(remove::names(top.as_fd()).unwrap().is_empty());
    }
}
