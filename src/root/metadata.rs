//! Sets owner, mode, attributes and time of new files, in the order that keeps all of them: chown(2) clears
//! setuid and file capabilities, so it comes first; the time comes last.

use crate::layer::entry::Meta;
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat, fchmod, fchown, fgetxattr,
    flistxattr, fremovexattr, fsetxattr, fstat, futimens, getxattr, lsetxattr, utimensat,
};
use rustix::io::{self, Errno};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Sets all metadata of an open file or directory. If it existed before, removes attributes that `meta` does
/// not name.
pub fn set(file: impl AsFd, meta: &Meta, before: Before) -> io::Result<()> {
    let file = file.as_fd();
    fchown(file, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
    fchmod(file, Mode::from_raw_mode(meta.mode))?;
    if before == Before::Existed {
        clear_attributes(file)?;
    }
    for (name, value) in &meta.xattrs {
        fsetxattr(file, &name[..], value, XattrFlags::empty())?;
    }
    futimens(file, &times(meta.mtime))
}

/// The state of a path before it is written: a file that existed may have attributes of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// The file is new.
    Missing,
    /// The file existed before.
    Existed,
}

/// Sets all metadata of a node that is neither file nor directory; of a link itself, not of what it points
/// to.
pub fn set_at(parent: BorrowedFd, name: &[u8], meta: &Meta, what: What) -> io::Result<()> {
    let link = AtFlags::SYMLINK_NOFOLLOW;
    chownat(parent, name, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)), link)?;
    if what == What::Node {
        chmodat(parent, name, Mode::from_raw_mode(meta.mode), AtFlags::empty())?;
    }
    // No system call sets an attribute by descriptor on a node that cannot be opened; this path can: its
    // first part is our own descriptor, its last is not followed.
    let path = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd())).join(std::ffi::OsStr::from_bytes(name));
    for (key, value) in &meta.xattrs {
        lsetxattr(&path, &key[..], value, XattrFlags::empty())?;
    }
    utimensat(parent, name, &times(meta.mtime), link)
}

/// The kind of node that [`set_at`] sets metadata of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A symbolic link, which has no mode.
    Link,
    /// A device node or FIFO.
    Node,
}

/// Returns the modification time: seconds since 1970, and nanoseconds.
pub fn mtime_of(file: impl AsFd) -> io::Result<(i64, u32)> {
    let stat = fstat(file)?;
    Ok((stat.st_mtime, u32::try_from(stat.st_mtime_nsec).map_err(|_| Errno::RANGE)?))
}

/// Sets only the modification time, and leaves the access time.
pub fn set_mtime(file: impl AsFd, mtime: (i64, u32)) -> io::Result<()> {
    let mut both = times(mtime);
    both.last_access.tv_nsec = UTIME_OMIT;
    futimens(file, &both)
}

/// Returns access and modification times that are equal: an image does not say when a file was last read.
fn times((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Reads all metadata of an open file or directory. Omits SELinux labels: they belong to the system that gave
/// them.
pub fn get(file: impl AsFd) -> io::Result<Meta> {
    let file = file.as_fd();
    let stat = fstat(file)?;
    let mut xattrs = Vec::new();
    for name in attributes(file)?.into_iter().filter(|name| name.as_c_str() != SELINUX) {
        // XATTR_SIZE_MAX (linux/limits.h).
        let mut value = vec![0; 65536];
        let length = fgetxattr(file, name.as_c_str(), &mut value[..])?;
        value.truncate(length);
        xattrs.push((name.into_bytes(), value));
    }
    Ok(Meta { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, mtime: mtime_of(file)?, xattrs })
}

/// Name of the attribute in which SELinux keeps its label.
pub(crate) const SELINUX: &CStr = c"security.selinux";

/// Returns whether the node behind the descriptor `place` has an SELinux label. A descriptor opened with
/// `O_PATH` will do, because the attribute is read through /proc (open(2)).
pub fn is_labelled(place: impl AsFd) -> bool {
    let path = format!("/proc/self/fd/{}", place.as_fd().as_raw_fd());
    // XATTR_SIZE_MAX is 65536; a label has some 30 bytes.
    getxattr(path, SELINUX, &mut [0_u8; 4096][..]).is_ok()
}

fn clear_attributes(file: BorrowedFd) -> io::Result<()> {
    for name in attributes(file)? {
        match fremovexattr(file, name.as_c_str()) {
            // A kernel with SELinux labels every file by itself, and lets no program remove the label.
            Err(Errno::ACCESS) if name.as_c_str() == SELINUX => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// Returns the names of a file's extended attributes; none if the filesystem does not support them.
fn attributes(file: BorrowedFd) -> io::Result<Vec<CString>> {
    // XATTR_LIST_MAX (linux/limits.h): all names of one file fit.
    let mut names = vec![0; 65536];
    let length = match flistxattr(file, &mut names) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        length => length?,
    };
    let names = names[..length].split_inclusive(|byte| *byte == 0);
    Ok(names.filter_map(|name| CStr::from_bytes_with_nul(name).ok()).map(CStr::to_owned).collect())
}
