//! Clamps the times of what a run wrote into a slot to one that the next run has too
//! (reproducible-builds.org/docs/timestamps: clamping).

use crate::root::mounted::directory::Root;
use crate::root::mounted::remove::{names, open_directory};
use rustix::fs::{AtFlags, FileType, Timespec, Timestamps, statat, utimensat};
use rustix::io;
use std::ffi::CString;
use std::os::fd::AsFd;

/// Gives every file that is not older than `begin` the time `epoch`, both in seconds since 1970. Files of the
/// image are older, and keep their times. No link is followed.
pub fn clamp(root: &Root, begin: i64, epoch: i64) -> io::Result<()> {
    let time = Timespec { tv_sec: epoch, tv_nsec: 0 };
    let both = Timestamps { last_access: time, last_modification: time };
    // A path down to the directory that is looked at: for each directory on it, the names that are left.
    let mut here = open_directory(root.fd(), b".")?;
    let mut left: Vec<Vec<CString>> = vec![names(here.as_fd())?];
    let clamp = |folder: &std::os::fd::OwnedFd, name: &CString| -> io::Result<FileType> {
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if stat.st_mtime >= begin {
            utimensat(folder, name, &both, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(FileType::from_raw_mode(stat.st_mode))
    };
    while let Some(pending) = left.last_mut() {
        if let Some(name) = pending.pop() {
            if clamp(&here, &name)? == FileType::Directory {
                here = open_directory(here.as_fd(), name.as_bytes())?;
                left.push(names(here.as_fd())?);
            }
            continue;
        }
        left.pop();
        if !left.is_empty() {
            // No other process can reach the slot to move a directory: `..` is where we came from.
            here = open_directory(here.as_fd(), b"..")?;
        }
    }
    clamp(&here, &c".".to_owned()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[test]
    fn what_is_new_gets_the_time_and_what_is_old_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (slot, outside) = (folder.path().join("slot"), folder.path().join("outside"));
        fs::create_dir_all(slot.join("etc/deep")).unwrap();
        for path in [slot.join("etc/new"), slot.join("etc/old"), slot.join("etc/deep/new"), outside.clone()] {
            fs::write(path, "text").unwrap();
        }
        symlink(&outside, slot.join("link")).unwrap();
        let old = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options().write(true).open(slot.join("etc/old")).unwrap().set_modified(old).unwrap();
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        clamp(&Root::open(&slot).unwrap(), now - 60, 1_700_000_000).unwrap();
        for path in ["", "etc", "etc/new", "etc/deep", "etc/deep/new", "link"] {
            assert_eq!(fs::symlink_metadata(slot.join(path)).unwrap().mtime(), 1_700_000_000, "{path}");
        }
        assert_eq!(fs::metadata(slot.join("etc/old")).unwrap().mtime(), 1_000_000_000);
        assert!(fs::metadata(outside).unwrap().mtime() >= now - 60, "what a link leads to is not the slot's");
    }
}
