//! Gives a copy what describes its original.

use crate::error::Result;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

/// Gives a copy the owner, the permissions and the time of its original.
pub fn describe(place: &Path, found: &Metadata) -> Result<()> {
    lchown(place, Some(found.uid()), Some(found.gid()))?;
    fs::set_permissions(place, fs::Permissions::from_mode(found.mode() & 0o7777))?;
    let modified = Timespec { tv_sec: found.mtime(), tv_nsec: found.mtime_nsec() };
    let times = Timestamps { last_access: modified, last_modification: modified };
    Ok(utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
