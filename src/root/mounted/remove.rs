//! Removes a tree of any depth, without following a link and without recursion.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};
use rustix::io;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Removes the node `name` in `parent`, with all that is in it.
pub fn tree(parent: BorrowedFd, name: &[u8]) -> io::Result<()> {
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return unlinkat(parent, name, AtFlags::empty());
    }
    let mut here = open_directory(parent, name)?;
    // The directories on the way down: their names, and which of their subdirectories are still full.
    let mut way: Vec<CString> = Vec::new();
    let mut full: Vec<Vec<CString>> = vec![remove_files(&here)?];
    loop {
        let pending = full.last_mut().and_then(Vec::pop);
        if let Some(child) = pending {
            here = open_directory(here.as_fd(), child.as_bytes())?;
            full.push(remove_files(&here)?);
            way.push(child);
            continue;
        }
        full.pop();
        let Some(empty) = way.pop() else { break };
        // A directory's `..` is where we came from: no other process can reach the slot to move it.
        here = open_directory(here.as_fd(), b"..")?;
        unlinkat(&here, &empty, AtFlags::REMOVEDIR)?;
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Opens the directory `name`, which must not be a link.
pub fn open_directory(parent: BorrowedFd, name: &[u8]) -> io::Result<OwnedFd> {
    openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Returns the names in a directory, without `.` and `..`.
pub fn names(directory: BorrowedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// Unlinks everything in `directory` that is not a directory; returns the directories.
fn remove_files(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut directories = Vec::new();
    for name in names(directory.as_fd())? {
        let stat = statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            directories.push(name);
        } else {
            unlinkat(directory, &name, AtFlags::empty())?;
        }
    }
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, mkdirat, open};

    #[test]
    fn a35_a_tree_deeper_than_any_path_or_stack_goes() {
        let folder = tempfile::tempdir().unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let top = open(folder.path(), flags, Mode::empty()).unwrap();
        mkdirat(&top, "deep", Mode::RWXU).unwrap();
        let mut here = open_directory(top.as_fd(), b"deep").unwrap();
        for _ in 0..3_000 {
            mkdirat(&here, "d", Mode::RWXU).unwrap();
            here = open_directory(here.as_fd(), b"d").unwrap();
        }
        std::os::unix::fs::symlink("/etc", folder.path().join("deep/link")).unwrap();
        tree(top.as_fd(), b"deep").unwrap();
        assert!(names(top.as_fd()).unwrap().is_empty());
        assert!(statat(CWD, "/etc/passwd", AtFlags::empty()).is_ok());
    }
}
