//! Contents that were kept of an image's files: small ones in memory, large ones in one file without a name,
//! so that memory stays bounded whatever an image holds.

use crate::error::{Result, failed, from_io};
use crate::root::memory::retention::Retain;
use crate::words::units::{Bytes, MIB};
use anyhow::Context;
use rustix::fs::{Mode, OFlags, open, unlink};
use rustix::io::Errno;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Limits on what is kept, in bytes. Content that is replaced or removed later still counts.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest content that is kept in memory.
    pub small: u64,
    /// Limit on all contents in memory together.
    pub memory: u64,
    /// Limit on all contents together, in memory and in the file.
    pub total: u64,
}

impl Limits {
    /// Limits for what the rules read of one image. `/etc`, units, lists of modules and heads of programs take 5 MiB together in
    /// Debian 12 with a kernel. An initramfs with every driver takes 100 MiB, and an image may have one for
    /// each kernel.
    pub const FOR_RULES: Limits = Limits { small: MIB, memory: 64 * MIB, total: 2048 * MIB };

    /// Limits for all contents of one image, which its layers' budget bounds.
    pub const COMPLETE: Limits = Limits { small: MIB, memory: 64 * MIB, total: u64::MAX };
}

/// The kept beginning of one file's content.
#[derive(Debug)]
pub enum Held {
    /// Bytes kept in memory.
    Memory(Box<[u8]>),
    /// Bytes kept in the file without a name.
    Spooled {
        /// Offset of the first byte in that file.
        offset: u64,
        /// Number of bytes.
        length: u64,
    },
}

impl Held {
    /// Returns how many bytes were kept.
    pub fn length(&self) -> u64 {
        match self {
            Held::Memory(bytes) => bytes.len() as u64,
            Held::Spooled { length, .. } => *length,
        }
    }
}

/// All contents that were kept of an image.
pub struct Contents {
    limits: Limits,
    in_memory: u64,
    total: u64,
    folder: PathBuf,
    spool: Option<Spool>,
}

/// The file without a name, and its length.
struct Spool {
    file: File,
    end: u64,
}

impl Contents {
    /// Begins with nothing kept. The file, if one is needed, is made in `folder`, with this process's rights.
    pub fn new(limits: Limits, folder: PathBuf) -> Contents {
        Contents { limits, in_memory: 0, total: 0, folder, spool: None }
    }

    /// Reads all of `body` and keeps what `retain` asks for; returns the length of `body`, too.
    pub fn take(&mut self, mut body: &mut dyn BufRead, retain: Retain) -> Result<(u64, Held)> {
        let longest = match retain {
            Retain::Nothing => 0,
            Retain::Head(length) => length,
            Retain::All => u64::MAX,
        };
        let mut small = Vec::new();
        let first = longest.min(self.limits.small);
        Read::take(&mut body, first).read_to_end(&mut small).map_err(from_io)?;
        let first = small.len() as u64;
        let more = first == self.limits.small && !body.fill_buf().map_err(from_io)?.is_empty();
        let held = if (more && longest > first) || self.in_memory.saturating_add(first) > self.limits.memory {
            self.spool(&small, Read::take(&mut body, longest - first))?
        } else {
            self.charge(first)?;
            self.in_memory += first;
            Held::Memory(small.into())
        };
        let passed = io::copy(&mut body, &mut io::sink()).map_err(from_io)?;
        Ok((held.length().saturating_add(passed), held))
    }

    /// Appends `small` and the rest of `rest` to the file.
    fn spool(&mut self, small: &[u8], mut rest: impl BufRead) -> Result<Held> {
        let offset = self.append(small)?;
        let mut length = small.len() as u64;
        loop {
            let ready = rest.fill_buf().map_err(from_io)?;
            if ready.is_empty() {
                return Ok(Held::Spooled { offset, length });
            }
            self.append(ready)?;
            let written = ready.len();
            length += written as u64;
            rest.consume(written);
        }
    }

    /// Appends to the file, and makes it the first time; returns the offset at which the bytes begin.
    fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        self.charge(bytes.len() as u64)?;
        let folder = &self.folder;
        let spool = match &mut self.spool {
            Some(spool) => spool,
            none => none.insert(Spool { file: nameless(folder)?, end: 0 }),
        };
        let offset = spool.end;
        spool.file.write_all_at(bytes, offset).map_err(|error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => failed(
                format!("{} is full: no room for the kept files of the image", folder.display()),
                "make room there; for `check`, name another directory: TMPDIR=/var/tmp",
            ),
            _ => anyhow::Error::new(error).context(format!("keeping files of the image in {}", folder.display())),
        })?;
        spool.end += bytes.len() as u64;
        Ok(offset)
    }

    fn charge(&mut self, length: u64) -> Result<()> {
        self.total = self.total.saturating_add(length);
        if self.total > self.limits.total {
            return Err(failed(
                format!(
                    "the files to examine (initramfs, configuration, units) have more than {} together",
                    Bytes(self.limits.total)
                ),
                "keep only one kernel and its initramfs in the image",
            ));
        }
        Ok(())
    }

    /// Opens the kept bytes of a file for reading.
    pub fn open<'c>(&'c self, held: &'c Held) -> Box<dyn Read + 'c> {
        match (held, &self.spool) {
            (Held::Memory(bytes), _) => Box::new(&bytes[..]),
            (Held::Spooled { offset, length }, Some(spool)) => {
                Box::new(Spooled { file: &spool.file, at: *offset, left: *length })
            }
            (Held::Spooled { .. }, None) => unreachable!("what was spooled made the file"),
        }
    }
}

/// Reads one file's bytes out of the shared file by their offset, so that several can be read at once.
struct Spooled<'c> {
    file: &'c File,
    at: u64,
    left: u64,
}

impl Read for Spooled<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.file.read_at(&mut buffer[..wanted], self.at)?;
        if length == 0 && wanted > 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.at += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

/// Makes a file in `folder` that has no name and that no other process can open.
fn nameless(folder: &Path) -> Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    open(folder, flags, Mode::RUSR | Mode::WUSR)
        .or_else(|_| unnamed(folder))
        .map(File::from)
        .with_context(|| format!("making a file in {} for the kept files of the image", folder.display()))
}

/// Like [`nameless`], for filesystems without `O_TMPFILE`: the file has a name for a moment.
fn unnamed(folder: &Path) -> rustix::io::Result<rustix::fd::OwnedFd> {
    /// Number of random names to try: more than anyone can guess.
    const TRIES: u32 = 16;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let random = RandomState::new();
    for number in 0..TRIES {
        let path = folder.join(format!(".flipslot-{:016x}", random.hash_one(number)));
        match open(&path, flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::EXIST) => {}
            file => {
                let file = file?;
                unlink(&path)?;
                return Ok(file);
            }
        }
    }
    Err(Errno::EXIST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: Limits = Limits { small: 10, memory: 25, total: 100 };

    fn contents() -> (tempfile::TempDir, Contents) {
        let folder = tempfile::tempdir().unwrap();
        let contents = Contents::new(TINY, folder.path().to_owned());
        (folder, contents)
    }

    fn read(contents: &Contents, held: &Held) -> String {
        let mut text = String::new();
        contents.open(held).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_head_is_kept_of_what_is_longer_and_all_of_what_is_not() {
        let (_folder, mut contents) = contents();
        for (body, keep, kept) in [
            ("", Retain::All, ""),
            ("abc", Retain::Nothing, ""),
            ("abc", Retain::Head(2), "ab"),
            ("abc", Retain::Head(3), "abc"),
            ("abc", Retain::Head(9), "abc"),
            ("0123456789ab", Retain::Head(11), "0123456789a"),
            ("0123456789ab", Retain::Head(10), "0123456789"),
        ] {
            let (size, held) = contents.take(&mut body.as_bytes(), keep).unwrap();
            assert_eq!((size, read(&contents, &held).as_str()), (body.len() as u64, kept), "{body} {keep:?}");
        }
    }

    #[test]
    fn what_is_large_and_what_memory_has_no_room_for_is_spooled() {
        let (folder, mut contents) = contents();
        let bodies = ["0123456789", "0123456789ab", "9876543210", "fits", "does not", "y"];
        let held: Vec<Held> =
            bodies.iter().map(|body| contents.take(&mut body.as_bytes(), Retain::All).unwrap().1).collect();
        let spooled: Vec<bool> = held.iter().map(|held| matches!(held, Held::Spooled { .. })).collect();
        assert_eq!(spooled, [false, true, false, false, true, false]);
        assert_eq!(held.iter().map(|held| read(&contents, held)).collect::<Vec<_>>(), bodies);
        let mut twice = [contents.open(&held[1]), contents.open(&held[4])];
        let mut bytes = [[0; 4]; 2];
        twice.iter_mut().zip(&mut bytes).for_each(|(reader, bytes)| reader.read_exact(bytes).unwrap());
        assert_eq!(bytes, [*b"0123", *b"does"], "two that are read at once");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
    }

    #[test]
    fn more_than_all_that_may_be_kept_is_refused() {
        let (_folder, mut contents) = contents();
        contents.take(&mut &[b'x'; 100][..], Retain::All).unwrap();
        contents.take(&mut &[b'x'; 100][..], Retain::Nothing).unwrap();
        let text = format!("{:#}", contents.take(&mut &b"x"[..], Retain::All).unwrap_err());
        assert!(text.contains("more than 100B together"), "{text}");
    }

    #[test]
    fn an_endless_file_ends_at_what_may_be_kept() {
        let (_folder, mut contents) = contents();
        let mut endless = io::BufReader::with_capacity(16, io::repeat(b'x'));
        assert!(contents.take(&mut endless, Retain::All).is_err());
    }

    #[test]
    fn a_filesystem_without_nameless_files_gets_one_whose_name_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::from(unnamed(folder.path()).unwrap());
        file.write_all_at(b"here", 0).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let missing = folder.path().join("missing");
        assert!(format!("{:#}", nameless(&missing).unwrap_err()).contains("missing for the kept files"));
    }
}
