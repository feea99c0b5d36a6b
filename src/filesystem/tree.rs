//! A slot's files as those see them who judge it: read, never changed, never left. Behind it stands
//! a mounted slot, or what was kept of an image's layers on their way.

use crate::error::{Result, failed};
use crate::units::Bytes;
use anyhow::Context;
use std::io::Read;

/// What stands at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub what: What,
    /// Permission bits with setuid, setgid and sticky: 0 to 0o7777.
    pub mode: u32,
    /// Whether it has an SELinux label (`security.selinux`).
    pub labelled: bool,
}

/// The kinds of what can stand at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A regular file of `size` bytes.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link, which was not followed.
    Symlink {
        /// What it says.
        target: Vec<u8>,
    },
    /// A device, FIFO or socket.
    Other,
}

/// Whether the last component of a path is followed, if it is a link. Those before it always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// It is.
    Follow,
    /// The link itself is meant.
    Keep,
}

/// Files below one root, which no link and no `..` leaves: they lead to what is inside it.
pub trait Tree {
    /// What stands at `path`; `None` if nothing does, or if links on the way lead nowhere or in a
    /// circle.
    fn look(&self, path: &str, last: Last) -> Result<Option<Found>>;

    /// The bytes of the regular file at `path`, links followed; `None` as in [`Tree::look`]. What
    /// is no regular file is an error and not opened, and so is one whose bytes were not kept.
    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + '_>>>;

    /// The names in the directory `path`, sorted; none if there is no such directory. A name that is
    /// no UTF-8 is left out.
    fn list(&self, path: &str) -> Result<Vec<String>>;

    /// The text of a small file; `None` if there is none. More than `limit` bytes are an error.
    fn read(&self, path: &str, limit: u64) -> Result<Option<String>> {
        let bytes = self.read_bytes(path, limit)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The same, as bytes.
    fn read_bytes(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let longer = |size: u64| {
            let found = format!("/{path} has {}, and {} are more than any such file has", Bytes(size), Bytes(limit));
            failed(found, "mend that file in the image")
        };
        // Its size tells before anything is read; a file that grows meanwhile is cut there, too.
        if let Some(Found { what: What::File { size }, .. }) = self.look(path, Last::Follow)?
            && size > limit
        {
            return Err(longer(size));
        }
        let Some(bytes) = self.head(path, limit + 1)? else { return Ok(None) };
        if bytes.len() as u64 > limit { Err(longer(bytes.len() as u64)) } else { Ok(Some(bytes)) }
    }

    /// The first `length` bytes of a file, or fewer if it is shorter; `None` if there is none.
    fn head(&self, path: &str, length: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).with_context(|| format!("reading /{path} in the slot"))?;
        Ok(Some(bytes))
    }

    /// Whether a regular file stands at `path`, links followed.
    fn has_file(&self, path: &str) -> bool {
        self.look(path, Last::Follow)
            .is_ok_and(|found| found.is_some_and(|found| matches!(found.what, What::File { .. })))
    }

    /// Whether anything that can be executed as a program stands at `path`, links followed.
    fn has_program(&self, path: &str) -> bool {
        let found = self.look(path, Last::Follow).ok().flatten();
        found.is_some_and(|found| matches!(found.what, What::File { .. }) && found.mode & 0o111 != 0)
    }
}
