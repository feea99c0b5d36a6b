//! A slot's files as the rules see them: read, never changed, never left. They come from a mounted slot, or
//! from what was kept of an image's layers.

use crate::error::{Result, failed};
use crate::layer::LayerPath;
use crate::words::units::Bytes;
use anyhow::Context;
use std::io::Read;

/// The node at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Kind of the node.
    pub what: What,
    /// Permission bits with setuid, setgid and sticky: 0 to 0o7777.
    pub mode: u32,
    /// Set if it has an SELinux label (`security.selinux`).
    pub labelled: bool,
}

/// The kinds of node that can be at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A regular file of `size` bytes.
    File {
        /// Length of the content in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link, which was not followed.
    Symlink {
        /// Target of the link, as stored.
        target: Vec<u8>,
    },
    /// A device, FIFO or socket.
    Other,
}

/// The way to treat the last component of a path, if it is a link. Those before it are always followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Follow the link.
    Follow,
    /// Take the link itself.
    NoFollow,
}

/// Files below one root. No link and no `..` leads out of it: they are resolved inside.
pub trait Tree {
    /// Looks at the node at `path`; returns `None` if there is none, or if links on the way lead nowhere or
    /// in a circle.
    fn look_at(&self, path: &LayerPath, last: Last) -> Result<Option<Found>>;

    /// Opens the regular file at `path`, links followed; returns `None` as in [`Tree::look_at`]. Fails, without
    /// opening it, if it is not a regular file; fails, too, if its bytes were not kept.
    fn open_at(&self, path: &LayerPath) -> Result<Option<Box<dyn Read + '_>>>;

    /// Like [`Tree::look_at`], for a path that is text; it is cleaned first.
    fn look(&self, path: &str, last: Last) -> Result<Option<Found>> {
        self.look_at(&LayerPath::clean(path.as_bytes())?, last)
    }

    /// Like [`Tree::open_at`], for a path that is text; it is cleaned first.
    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + '_>>> {
        self.open_at(&LayerPath::clean(path.as_bytes())?)
    }

    /// Returns the names in the directory `path`, sorted; none if there is no such directory. Omits names
    /// that are not UTF-8.
    fn list(&self, path: &str) -> Result<Vec<String>>;

    /// Reads the text of a small file; returns `None` if there is none. Fails if it has more than `limit`
    /// bytes.
    fn read(&self, path: &str, limit: u64) -> Result<Option<String>> {
        let bytes = self.read_bytes(path, limit)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Like [`Tree::read`], but returns bytes.
    fn read_bytes(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let longer = |size: u64| {
            let found =
                format!("/{path} has {}, more than the {} that such a file may have", Bytes(size), Bytes(limit));
            failed(found, "fix that file in the image")
        };
        // The size is checked before anything is read; a file that grows in the meantime is cut there, too.
        if let Some(Found { what: What::File { size }, .. }) = self.look(path, Last::Follow)?
            && size > limit
        {
            return Err(longer(size));
        }
        let Some(bytes) = self.head(path, limit + 1)? else { return Ok(None) };
        if bytes.len() as u64 > limit { Err(longer(bytes.len() as u64)) } else { Ok(Some(bytes)) }
    }

    /// Reads the first `length` bytes of a file, or fewer if it is shorter; returns `None` if there is none.
    fn head(&self, path: &str, length: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).with_context(|| format!("reading /{path} in the slot"))?;
        Ok(Some(bytes))
    }

    /// Returns whether a regular file is at `path`, links followed.
    fn has_file(&self, path: &str) -> bool {
        self.look(path, Last::Follow)
            .is_ok_and(|found| found.is_some_and(|found| matches!(found.what, What::File { .. })))
    }

    /// Returns whether a file that can be executed is at `path`, links followed.
    fn has_program(&self, path: &str) -> bool {
        let found = self.look(path, Last::Follow).ok().flatten();
        found.is_some_and(|found| matches!(found.what, What::File { .. }) && found.mode & 0o111 != 0)
    }
}
