//! Gives a copy what describes its original.

use crate::error::Result;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr, lsetxattr, utimensat};
use rustix::io::Errno;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

/// Largest list of names, and largest value, of extended attributes (limits.h, XATTR_LIST_MAX, XATTR_SIZE_MAX).
const ATTRIBUTES_MAX: usize = 64 << 10;

/// Gives a file or folder owner, permissions, extended attributes and time of another one.
pub fn describe(place: &Path, original: &Path, found: &Metadata) -> Result<()> {
    lchown(place, Some(found.uid()), Some(found.gid()))?;
    fs::set_permissions(place, fs::Permissions::from_mode(found.mode() & 0o7777))?;
    attributes(place, original)?;
    let modified = Timespec { tv_sec: found.mtime(), tv_nsec: found.mtime_nsec() };
    let times = Timestamps { last_access: modified, last_modification: modified };
    Ok(utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn attributes(place: &Path, original: &Path) -> Result<()> {
    let mut names = vec![0; ATTRIBUTES_MAX];
    let length = match llistxattr(original, &mut names) {
        Err(Errno::NOTSUP) => return Ok(()),
        length => length?,
    };
    let mut value = vec![0; ATTRIBUTES_MAX];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let length = lgetxattr(original, name, &mut value)?;
        lsetxattr(place, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_what_describes_it() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o1750)).unwrap();
        lchown(&from, Some(7), Some(8)).unwrap();
        lsetxattr(&from, "trusted.flipslot", b"x", XattrFlags::empty()).unwrap();
        describe(&to, &from, &fs::symlink_metadata(&from).unwrap()).unwrap();
        let [from, to] = [from, to].map(|path| (fs::symlink_metadata(&path).unwrap(), path));
        assert_eq!((to.0.mode(), to.0.uid(), to.0.gid()), (from.0.mode(), 7, 8));
        assert_eq!(to.0.modified().unwrap(), from.0.modified().unwrap());
        let mut value = [0; 8];
        assert_eq!(lgetxattr(&to.1, "trusted.flipslot", &mut value).unwrap(), 1);
    }
}
