//! Sets owner, mode, attributes and time of new files, in the order that keeps all of them: chown(2) clears
//! setuid and file capabilities, so it comes first; the time comes last.

use crate::layer::entry::{Meta, Time};
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat, fchmod, fchown, fsetxattr,
    fstat, futimens, getxattr, listxattr, lsetxattr, removexattr, utimensat,
};
use rustix::io::{self, Errno};
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Sets all metadata of an open file or directory, and removes attributes that `meta` does not name: those that
/// it had, or that a new one inherits from the default ACL of the directory around it (acl(5)).
pub fn set(file: impl AsFd, meta: &Meta) -> io::Result<()> {
    let file = file.as_fd();
    fchown(file, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
    clear_attributes(&path_of(file))?;
    fchmod(file, Mode::from_raw_mode(meta.mode))?;
    for (name, value) in &meta.xattrs {
        fsetxattr(file, &name[..], value, XattrFlags::empty()).map_err(|errno| too_large(errno, meta))?;
    }
    futimens(file, &times(meta.mtime))
}

/// Like [`set`], for a new node that is neither file nor directory; for a link itself, not what it points to.
pub fn set_at(parent: BorrowedFd, name: &[u8], meta: &Meta, what: What) -> io::Result<()> {
    let link = AtFlags::SYMLINK_NOFOLLOW;
    chownat(parent, name, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)), link)?;
    // No system call sets an attribute by descriptor on a node that cannot be opened; this path can: its
    // first part is our own descriptor, its last is not followed.
    let path = path_of(parent).join(OsStr::from_bytes(name));
    if what == What::Node {
        clear_attributes(&path)?;
        chmodat(parent, name, Mode::from_raw_mode(meta.mode), AtFlags::empty())?;
    }
    for (key, value) in &meta.xattrs {
        lsetxattr(&path, &key[..], value, XattrFlags::empty()).map_err(|errno| too_large(errno, meta))?;
    }
    utimensat(parent, name, &times(meta.mtime), link)
}

/// Returns the error of attributes that are too large for the filesystem. ext4 says that the disk is full, and keeps all
/// of a file in one block (kernel: filesystems/ext4/attributes.rst); without their headers, 4000 bytes may be too many.
fn too_large(errno: Errno, meta: &Meta) -> Errno {
    let size: usize = meta.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if errno == Errno::NOSPC && size > 4000 { Errno::TOOBIG } else { errno }
}

/// The kind of node that [`set_at`] sets metadata of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A symbolic link, which has no mode.
    Link,
    /// A device node or FIFO.
    Node,
}

/// Returns the modification time.
pub fn mtime_of(file: impl AsFd) -> io::Result<Time> {
    let stat = fstat(file)?;
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).map_err(|_| Errno::RANGE)?;
    Ok(Time { seconds: stat.st_mtime, nanoseconds })
}

/// Sets only the modification time, and leaves the access time.
pub fn set_mtime(file: impl AsFd, mtime: Time) -> io::Result<()> {
    let mut both = times(mtime);
    both.last_access.tv_nsec = UTIME_OMIT;
    futimens(file, &both)
}

/// Returns access and modification times that are equal: an image does not say when a file was last read.
fn times(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Reads all metadata of an open node. Omits the SELinux label: it belongs to the system that gave it.
pub fn get(file: impl AsFd) -> io::Result<Meta> {
    let mut meta = of(file)?;
    meta.xattrs.retain(|(name, _)| name != SELINUX.to_bytes());
    Ok(meta)
}

/// Reads all metadata of an open node, with the SELinux label if it has one; sorts attributes by name. A
/// descriptor opened with `O_PATH` will do, of a link too, because attributes are read through /proc (open(2)).
pub fn of(place: impl AsFd) -> io::Result<Meta> {
    let place = place.as_fd();
    let stat = fstat(place)?;
    let path = path_of(place);
    let mut xattrs = Vec::new();
    for name in attributes(&path)? {
        let value = sized(|buffer| getxattr(&path, name.as_c_str(), buffer))?;
        xattrs.push((name.into_bytes(), value));
    }
    xattrs.sort_unstable();
    Ok(Meta { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, mtime: mtime_of(place)?, xattrs })
}

/// Name of the attribute in which SELinux keeps its label.
pub(crate) const SELINUX: &CStr = c"security.selinux";

/// Returns whether the node behind the descriptor `place` has an SELinux label. A descriptor opened with
/// `O_PATH` will do, because the attribute is read through /proc (open(2)).
pub fn is_labelled(place: impl AsFd) -> bool {
    let path = path_of(place.as_fd());
    // XATTR_SIZE_MAX is 65536; a label has some 30 bytes.
    getxattr(path, SELINUX, &mut [0_u8; 4096][..]).is_ok()
}

/// Removes all attributes of the node at `path`, which is not a link.
fn clear_attributes(path: &Path) -> io::Result<()> {
    for name in attributes(path)? {
        match removexattr(path, name.as_c_str()) {
            // A kernel with SELinux labels every file by itself, and lets no program remove the label.
            Err(Errno::ACCESS) if name.as_c_str() == SELINUX => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// Returns a path to the node behind a descriptor, also behind one that `O_PATH` opened (open(2)).
fn path_of(place: BorrowedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", place.as_raw_fd()))
}

/// Returns the names of the extended attributes of the node at `path`, links followed; none if the filesystem
/// has no attributes.
fn attributes(path: &Path) -> io::Result<Vec<CString>> {
    let names = match sized(|buffer| listxattr(path, buffer)) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        names => names?,
    };
    let names = names.split_inclusive(|byte| *byte == 0);
    Ok(names.filter_map(|name| CStr::from_bytes_with_nul(name).ok()).map(CStr::to_owned).collect())
}

/// Returns what a call reads into a buffer that is long enough, or else refused with `RANGE`.
fn sized(read: impl Fn(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    // Few attributes need more than this; none more than XATTR_LIST_MAX and XATTR_SIZE_MAX (linux/limits.h).
    const USUAL: usize = 256;
    const LONGEST: usize = 65536;
    let mut bytes = vec![0; USUAL];
    let length = match read(&mut bytes) {
        Err(Errno::RANGE) => {
            bytes.resize(LONGEST, 0);
            read(&mut bytes)?
        }
        length => length?,
    };
    bytes.truncate(length);
    Ok(bytes)
}
