//! Resolves a path inside a root, one component at a time: where the kernel has no openat2(2) (before Linux
//! 5.6, or under a system call filter), and where directories are made on the way.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::{self, Errno};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Number of links that one resolution follows before it counts as a loop, as in the kernel
/// (path_resolution(7)).
pub(crate) const LINKS_MAX: usize = 40;

/// Opens `path` below `root` with `flags`; follows links, absolute ones too, inside it.
///
/// Each component is opened through its parent's descriptor and never followed by the kernel. A `..` starts
/// again from the root with the real components so far, so that a directory that is moved away in the
/// meantime leads nowhere else.
pub fn open(root: BorrowedFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    open_or_make(root, path, flags, &mut Way::making(&|_, _| Err(Errno::NOENT)))
}

/// A way along a path: what to do where something is missing, and what was done.
pub struct Way<'w> {
    /// Called where a directory is missing, also behind a link.
    make: &'w dyn Fn(BorrowedFd, &[u8]) -> io::Result<()>,
    /// Number of components behind links that were looked up.
    pub behind_links: u64,
    /// Number of them at which the way ends with `OVERFLOW`.
    most: u64,
}

impl<'w> Way<'w> {
    /// Begins a way on which `make` is called where a directory is missing.
    pub fn making(make: &'w dyn Fn(BorrowedFd, &[u8]) -> io::Result<()>) -> Way<'w> {
        Way { make, behind_links: 0, most: u64::MAX }
    }

    /// Ends the way when more than `most` components behind links were looked up.
    pub fn at_most(self, most: u64) -> Way<'w> {
        Way { most, ..self }
    }
}

/// Like [`open`], but makes what is missing on the way.
pub fn open_or_make(root: BorrowedFd, path: &[u8], flags: OFlags, way: &mut Way) -> io::Result<OwnedFd> {
    let mut left: VecDeque<Vec<u8>> = components(path).collect();
    let mut real: Vec<Vec<u8>> = Vec::new();
    let mut here = reopen(root, &real)?;
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        way.behind_links += u64::from(links > 0);
        if way.behind_links > way.most {
            return Err(Errno::OVERFLOW);
        }
        if name == b".." {
            real.pop();
            way.behind_links += if links > 0 { real.len() as u64 } else { 0 };
            here = reopen(root, &real)?;
            continue;
        }
        let kind = match statat(&here, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {
                (way.make)(here.as_fd(), &name)?;
                FileType::Directory.as_raw_mode()
            }
            found => found?.st_mode,
        };
        if FileType::from_raw_mode(kind) != FileType::Symlink {
            if left.is_empty() {
                return open_last(here.as_fd(), &name, flags);
            }
            here = descend(here.as_fd(), &name)?;
            real.push(name);
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(Errno::LOOP);
        }
        let target = readlinkat(&here, &name[..], Vec::new())?.into_bytes();
        if target.starts_with(b"/") {
            real.clear();
            here = reopen(root, &real)?;
        }
        for part in components(&target).collect::<Vec<_>>().into_iter().rev() {
            left.push_front(part);
        }
    }
    openat(&here, c".", flags, Mode::empty())
}

fn components(path: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec)
}

fn descend(here: BorrowedFd, name: &[u8]) -> io::Result<OwnedFd> {
    openat(here, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn reopen(root: BorrowedFd, real: &[Vec<u8>]) -> io::Result<OwnedFd> {
    let mut here = descend(root, b".")?;
    for name in real {
        here = descend(here.as_fd(), name)?;
    }
    Ok(here)
}

/// Opens the last component, which was not a link when it was looked at.
fn open_last(here: BorrowedFd, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let opened = openat(here, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
    // With O_PATH, a link that came in the meantime would be opened itself (open(2)).
    if FileType::from_raw_mode(fstat(&opened)?.st_mode) == FileType::Symlink {
        return Err(Errno::LOOP);
    }
    Ok(opened)
}
