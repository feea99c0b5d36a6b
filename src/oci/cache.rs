//! A cache of what was fetched from registries, by digest: a second run reads it from this machine.

use crate::error::{Result, failed, into_io, refused};
use crate::oci::document::Descriptor;
use crate::oci::signature::Attached;
use crate::oci::source::Source;
use crate::words::digest::{Digest, Hasher};
use anyhow::Context;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open, statvfs};
use rustix::io::Errno;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The most bytes that a cache holds: some fifty images. What was used longest ago is removed first.
const BYTES_MAX: u64 = 16 << 30;
/// The part of its filesystem that a cache leaves free: one in ten.
const FREE_SHARE: u64 = 10;

/// A folder of blobs, each under the name of its digest. Other runs may use it at the same time, and any of them may
/// be killed: a blob gets its name when all of it is there and has the right digest.
pub struct Cache {
    folder: PathBuf,
}

/// A source whose documents and blobs are taken from a cache where it has them, and put into it where not.
pub struct Cached {
    /// The source to ask for what is missing.
    pub source: Arc<dyn Source>,
    /// The cache.
    pub cache: Arc<Cache>,
}

impl Cache {
    /// Opens a cache; makes its folder if there is none. Refuses one that others may write to, or that is another
    /// user's.
    pub fn open(folder: &Path) -> Result<Cache> {
        let making = || format!("making the cache {}", folder.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(making)?;
        let metadata = fs::symlink_metadata(folder).with_context(making)?;
        if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
            let found = format!("the cache {} is a link, or another user's", folder.display());
            return Err(refused(found, "name a folder of your own: --cache DIR, or use --no-cache"));
        }
        fs::set_permissions(folder, Permissions::from_mode(0o700)).with_context(making)?;
        Ok(Cache { folder: folder.to_owned() })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{}-{}", digest.algorithm(), digest.hex()))
    }

    /// Opens a blob that is there with the right size, and notes that it was used.
    fn get(&self, which: &Descriptor) -> Option<File> {
        let file = File::open(self.path(&which.digest)).ok()?;
        let is_whole = file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == which.size);
        if !is_whole {
            self.remove(&which.digest);
            return None;
        }
        let _ = file.set_modified(SystemTime::now());
        Some(file)
    }

    fn remove(&self, digest: &Digest) {
        let _ = fs::remove_file(self.path(digest));
    }

    /// Begins a blob of `size` bytes; `None` if there is no room for it.
    fn begin(&self, size: u64) -> Option<File> {
        let room = statvfs(&self.folder).ok()?;
        let (free, all) = (room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize);
        if size > BYTES_MAX || free.saturating_sub(size) < all / FREE_SHARE {
            return None;
        }
        // Without a name, so that nothing is left of a run that is killed.
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        open(&self.folder, flags, Mode::RUSR | Mode::WUSR).ok().map(File::from)
    }

    /// Gives a finished blob its name, and removes what was used longest ago if the cache has become too large.
    fn finish(&self, file: &File, digest: &Digest) -> io::Result<()> {
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        match linkat(CWD, link, CWD, self.path(digest), AtFlags::SYMLINK_FOLLOW) {
            Err(Errno::EXIST) | Ok(()) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.shrink(BYTES_MAX)
    }

    fn shrink(&self, most: u64) -> io::Result<()> {
        let mut blobs = Vec::new();
        for entry in fs::read_dir(&self.folder)?.filter_map(Result::ok) {
            if let Ok(metadata) = entry.metadata() {
                blobs.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        blobs.sort();
        let mut total: u64 = blobs.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in blobs {
            if total <= most {
                break;
            }
            let _ = fs::remove_file(path); // another run may have removed it
            total -= size;
        }
        Ok(())
    }
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
        fs::write(cached.cache.path(&which.digest), b"A blob").unwrap();
        assert!(read(&cached, &which).unwrap_err().to_string().contains("was damaged"));
        assert!(!cached.cache.path(&which.digest).exists());
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
    fn what_was_used_longest_ago_is_removed_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        for (age, name) in [(30, "old"), (20, "used"), (10, "new")] {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        cache.shrink(250).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["new", "used"]);
    }
}
