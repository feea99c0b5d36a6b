//! A cache of what was fetched from registries, by digest: a second run reads it from this machine.

use crate::error::{Result, failed, into_io, refused};
use crate::oci::document::Descriptor;
use crate::oci::signature::Attached;
use crate::oci::source::Source;
use crate::words::digest::{Digest, Hasher};
use anyhow::Context;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, fstat, fstatfs, fstatvfs, linkat, open, openat, statat, unlinkat};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// The most bytes that a cache holds: some fifty images. What was used longest ago is removed first.
const BYTES_MAX: u64 = 16 << 30;
/// The part of its filesystem that a cache leaves free: one in ten.
const FREE_SHARE: u64 = 10;

/// A folder of blobs, each under the name of its digest. Other runs may use it at the same time, and any of them may
/// be killed: a blob gets its name when all of it is there and has the right digest.
pub struct Cache {
    /// The folder itself, whatever its path leads to later.
    folder: OwnedFd,
}

/// A source whose documents and blobs are taken from a cache where it has them, and put into it where not.
pub struct Cached {
    /// The source to ask for what is missing.
    pub source: Arc<dyn Source>,
    /// The cache.
    pub cache: Arc<Cache>,
}

impl Cache {
    /// Opens a cache; makes its folder (0700) if there is none. Refuses a folder that others may read or write, or that
    /// is another user's.
    pub fn open(path: &Path) -> Result<Cache> {
        let name = path.display();
        let opening = || format!("opening the cache {name}");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(opening)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let odd = |why: &str| {
            refused(format!("the cache {name} is {why}"), "name another folder: --cache DIR, or use --no-cache")
        };
        let folder = match open(path, flags, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(odd("a link, or not a folder")),
            folder => folder.with_context(opening)?,
        };
        let found = fstat(&folder).with_context(opening)?;
        if found.st_uid != rustix::process::geteuid().as_raw() {
            return Err(odd("another user's"));
        }
        if found.st_mode & 0o077 != 0 {
            return Err(odd("open to other users"));
        }
        Ok(Cache { folder })
    }

    /// Opens the cache that is used where nobody names one; `None`, after a warning, if that cannot be. A folder in
    /// memory is not used: an image would take its room there.
    pub fn open_default(path: &Path) -> Option<Cache> {
        let cache =
            Cache::open(path).inspect_err(|error| crate::stderr!("flipslot: nothing is cached: {error:#}")).ok()?;
        // TMPFS_MAGIC and RAMFS_MAGIC of linux/magic.h.
        let kind = fstatfs(&cache.folder).ok()?.f_type;
        (![0x0102_1994, 0x8584_58f6].contains(&kind)).then_some(cache)
    }

    /// Opens a blob that is there with the right size, and notes that it was used.
    fn get(&self, which: &Descriptor) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.folder, name_of(&which.digest), flags, Mode::empty()).ok()?);
        let is_whole = file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == which.size);
        if !is_whole {
            self.remove(&which.digest);
            return None;
        }
        let _ = file.set_modified(SystemTime::now());
        Some(file)
    }

    fn remove(&self, digest: &Digest) {
        let _ = unlinkat(&self.folder, name_of(digest), AtFlags::empty());
    }

    /// Begins a blob of `size` bytes; `None` if there is no room for it.
    fn begin(&self, size: u64) -> Option<File> {
        let room = fstatvfs(&self.folder).ok()?;
        let (free, all) = (room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize);
        if size > BYTES_MAX || free.saturating_sub(size) < all / FREE_SHARE {
            return None;
        }
        // Without a name, so that nothing is left of a run that is killed.
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        openat(&self.folder, ".", flags, Mode::RUSR | Mode::WUSR).ok().map(File::from)
    }

    /// Gives a finished blob its name, and removes what was used longest ago if the cache has become too large.
    fn finish(&self, file: &File, digest: &Digest) -> io::Result<()> {
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        match linkat(CWD, link, &self.folder, name_of(digest), AtFlags::SYMLINK_FOLLOW) {
            Err(Errno::EXIST) | Ok(()) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.shrink(BYTES_MAX)
    }

    /// Removes blobs until at most `most` bytes are left. What is not called as a blob is not touched.
    fn shrink(&self, most: u64) -> io::Result<()> {
        let mut blobs = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let name = entry?.file_name().to_owned();
            if !name.to_str().is_ok_and(is_blob) {
                continue;
            }
            if let Ok(found) = statat(&self.folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
                blobs.push((found.st_mtime, u64::try_from(found.st_size).unwrap_or(0), name));
            }
        }
        blobs.sort();
        let mut total: u64 = blobs.iter().map(|(_, size, _)| size).sum();
        for (_, size, name) in blobs {
            if total <= most {
                break;
            }
            // Another run may have removed it.
            if matches!(unlinkat(&self.folder, &name, AtFlags::empty()), Ok(()) | Err(Errno::NOENT)) {
                total -= size;
            }
        }
        Ok(())
    }
}

/// Returns the name of a blob's file.
fn name_of(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm(), digest.hex())
}

fn is_blob(name: &str) -> bool {
    Digest::parse(&name.replacen('-', ":", 1)).is_ok()
}

impl Source for Cached {
    fn document(&self, which: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        if let Some(mut file) = self.cache.get(which).filter(|_| which.size <= limit) {
            let mut bytes = Vec::new();
            if file.read_to_end(&mut bytes).is_ok() && which.digest.matches(&bytes) {
                return Ok(bytes);
            }
            self.cache.remove(&which.digest);
        }
        let bytes = self.source.document(which, limit)?;
        if let Some(mut file) = self.cache.begin(bytes.len() as u64).filter(|_| which.digest.matches(&bytes)) {
            // Without a cache, everything is fetched; that is not a failure.
            let _ = file.write_all(&bytes).and_then(|()| self.cache.finish(&file, &which.digest));
        }
        Ok(bytes)
    }

    fn blob(&self, which: &Descriptor) -> Result<Box<dyn Read>> {
        let (cache, hasher) = (Arc::clone(&self.cache), which.digest.hasher());
        if let Some(file) = self.cache.get(which) {
            return Ok(Box::new(Kept { file, cache, which: which.clone(), hasher: Some(hasher), at: 0 }));
        }
        let source = self.source.blob(which)?;
        let Some(file) = self.cache.begin(which.size) else { return Ok(source) };
        Ok(Box::new(Keeping { source, file: Some(file), cache, which: which.clone(), hasher, at: 0 }))
    }

    fn attached(&self, of: &Digest) -> Result<Vec<Attached>> {
        self.source.attached(of)
    }
}

/// A blob that is read from the cache. The reader verifies it as it does every blob; here it is only noticed that
/// the copy is damaged, so that the next run fetches it again.
struct Kept {
    file: File,
    cache: Arc<Cache>,
    which: Descriptor,
    hasher: Option<Hasher>,
    at: u64,
}

impl Read for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.at += length as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..length]);
        }
        if self.at >= self.which.size
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.which.digest
        {
            self.cache.remove(&self.which.digest);
            let found = format!("the copy of {} in the cache was damaged, and has been removed", self.which.digest);
            return Err(into_io(failed(found, "run the command again: it is fetched again")));
        }
        Ok(length)
    }
}

/// A blob that is put into the cache as it is read.
struct Keeping {
    source: Box<dyn Read>,
    /// `None` after writing to it failed.
    file: Option<File>,
    cache: Arc<Cache>,
    which: Descriptor,
    hasher: Hasher,
    at: u64,
}

impl Read for Keeping {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.at += length as u64;
        self.hasher.update(&buffer[..length]);
        let written = self.file.as_mut().map(|file| file.write_all(&buffer[..length]));
        if written.is_some_and(|written| written.is_err()) {
            self.file = None;
        }
        if self.at == self.which.size
            && let Some(file) = self.file.take()
        {
            let hasher = std::mem::replace(&mut self.hasher, self.which.digest.hasher());
            if hasher.finish() == self.which.digest {
                let _ = self.cache.finish(&file, &self.which.digest);
            }
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::time::Duration;

    fn descriptor(bytes: &[u8]) -> Descriptor {
        let (digest, size) = (Digest::of(bytes), bytes.len());
        serde_json::from_value(serde_json::json!({ "digest": digest, "size": size })).unwrap()
    }

    /// A source that has one blob, once.
    struct Once(Vec<u8>, std::sync::Mutex<bool>);

    impl Source for Once {
        fn document(&self, which: &Descriptor, _: u64) -> Result<Vec<u8>> {
            let mut bytes = Vec::new();
            self.blob(which)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        }

        fn blob(&self, _: &Descriptor) -> Result<Box<dyn Read>> {
            anyhow::ensure!(!std::mem::replace(&mut *self.1.lock().unwrap(), true), "it was fetched before");
            Ok(Box::new(io::Cursor::new(self.0.clone())))
        }
    }

    fn cached(folder: &Path, bytes: &[u8]) -> Cached {
        let source = Arc::new(Once(bytes.to_vec(), false.into()));
        Cached { source, cache: Arc::new(Cache::open(folder).unwrap()) }
    }

    fn read(source: &dyn Source, which: &Descriptor) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        source.blob(which).unwrap().read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn a_blob_is_fetched_once_and_a_damaged_copy_is_noticed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("cache");
        let (bytes, which) = (b"a blob".to_vec(), descriptor(b"a blob"));
        let cached = cached(&folder, &bytes);
        assert_eq!(read(&cached, &which).unwrap(), bytes);
        assert_eq!(read(&cached, &which).unwrap(), bytes);
        assert_eq!(cached.document(&which, 100).unwrap(), bytes);
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        let kept = folder.join(name_of(&which.digest));
        fs::write(&kept, b"A blob").unwrap();
        assert!(read(&cached, &which).unwrap_err().to_string().contains("was damaged"));
        assert!(!kept.exists());
    }

    #[test]
    fn what_has_another_digest_or_was_not_read_to_its_end_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let which = descriptor(b"a blob");
        let of = |bytes: &[u8]| cached(&folder.path().join("cache"), bytes);
        assert!(read(&of(b"A blob"), &which).is_ok());
        assert_eq!(of(b"A blob").document(&which, 100).unwrap(), b"A blob");
        let mut part = of(b"a blob").blob(&which).unwrap();
        part.read_exact(&mut [0; 3]).unwrap();
        drop(part);
        assert_eq!(fs::read_dir(folder.path().join("cache")).unwrap().count(), 0);
    }

    #[test]
    fn what_was_used_longest_ago_is_removed_first_and_what_is_no_blob_never() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let of = |text: &str| name_of(&Digest::of(text.as_bytes()));
        let names = [(50, "picture.jpg".to_owned()), (30, of("old")), (20, of("used")), (10, of("new"))];
        for (age, name) in &names {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(*age)).unwrap();
        }
        cache.shrink(250).unwrap();
        let left: Vec<bool> = names.iter().map(|(_, name)| folder.path().join(name).exists()).collect();
        assert_eq!(left, [true, false, true, true]);
    }

    #[test]
    fn a_folder_that_others_may_read_or_that_is_a_link_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(Cache::open(folder.path()).is_err());
        assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o7777, 0o1777);
        std::os::unix::fs::symlink("/root", folder.path().join("link")).unwrap();
        assert!(Cache::open(&folder.path().join("link")).is_err());
    }
}
