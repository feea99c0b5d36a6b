//! Writes cpio archives in the form that the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst).

use crate::archive::cpio::{MAGICS, NAME_MAX, TRAILER, from_root};
use crate::error::{Result, failed};
use anyhow::Context;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};

/// An archive that is being written. The directories above a file precede it, with permissions 0755; times and owners
/// are 0, so the same files give the same bytes. The length is a multiple of 4.
///
/// A kernel that unpacks it over another archive replaces files of the same path: also a link `lib`, if a path begins
/// with `lib/`.
pub struct Archive<W: Write> {
    out: W,
    made: BTreeSet<String>,
    /// Owner, group and time of what is added.
    owned: (u32, u32, u32),
}

impl<W: Write> Archive<W> {
    /// Begins an archive.
    pub fn to(out: W) -> Archive<W> {
        Archive { out, made: BTreeSet::new(), owned: (0, 0, 0) }
    }

    /// Adds a file: path from the root, type and permissions as in `st_mode` (inode(7)), and content, which for a link
    /// is its target.
    pub fn add(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let path = from_root(path);
        for (slash, _) in path.match_indices('/') {
            if self.made.insert(path[..slash].to_owned()) {
                self.entry(&path[..slash], 0o40_755, (0, 0), &[])?;
            }
        }
        self.entry(path, mode, (0, 0), content)
    }

    /// Adds a file in the root directory from `content`, which has `size` bytes: at most 4 GiB, which is what the form has room for.
    pub fn add_from(&mut self, name: &str, mode: u32, size: u64, content: &mut impl Read) -> Result<()> {
        let too_large =
            |_| failed(format!("{name} has {size} bytes, and an initramfs takes 4 GiB"), "make the image smaller");
        let header = u32::try_from(size).map_err(too_large)?;
        self.header(name, mode, (0, 0), header)?;
        let copied = io::copy(&mut content.take(size), &mut self.out).with_context(|| format!("writing {name}"))?;
        if copied != size {
            return Err(failed(format!("{name} ended after {copied} of {size} bytes"), "run the command again"));
        }
        self.pad(usize::try_from(size % 4)?).context("writing the initramfs")
    }

    /// Adds a file, folder or link with its user, group and time (seconds since 1970), in a directory that was added before.
    pub fn add_owned(&mut self, path: &str, mode: u32, owned: (u32, u32, u32), content: &[u8]) -> Result<()> {
        self.owned = owned;
        let added = self.entry(path, mode, (0, 0), content);
        self.owned = (0, 0, 0);
        added
    }

    /// Adds a character device by its major and minor number, in a directory that was added before.
    pub fn add_device(&mut self, path: &str, numbers: (u32, u32)) -> Result<()> {
        self.entry(path, 0o20_600, numbers, &[])
    }

    /// Ends the archive, and returns what it was written to.
    pub fn finish(mut self) -> Result<W> {
        self.entry(TRAILER, 0, (0, 0), &[])?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, mode: u32, numbers: (u32, u32), content: &[u8]) -> Result<()> {
        self.header(path, mode, numbers, u32::try_from(content.len())?)?;
        self.padded(content).context("writing the initramfs")
    }

    /// Writes the header of an entry with `size` bytes of content.
    fn header(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), size: u32) -> Result<()> {
        let name = u32::try_from(path.len() + 1)?;
        if path.is_empty() || name > NAME_MAX || path.contains('\0') {
            return Err(failed(format!("'{}' is not a valid path in a cpio archive", path.escape_debug()), ""));
        }
        // c_ino, c_mode, c_uid, c_gid, c_nlink, c_mtime, c_filesize, four of devices, c_namesize, c_check.
        // With one link each, the kernel ignores inode numbers.
        let (user, group, time) = self.owned;
        let fields = [0, mode, user, group, 1, time, size, 0, 0, major, minor, name, 0];
        let mut header = MAGICS[0].to_vec();
        fields.iter().for_each(|field| header.extend_from_slice(format!("{field:08x}").as_bytes()));
        header.extend_from_slice(path.as_bytes());
        header.push(0);
        self.padded(&header).context("writing the initramfs")
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.pad(bytes.len())
    }

    /// Writes zeros up to a multiple of 4 after `length` bytes.
    fn pad(&mut self, length: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..length.next_multiple_of(4) - length])
    }
}

/// Makes an archive of a few small files in memory.
pub fn write(files: &[(&str, u32, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = Archive::to(Vec::new());
    files.iter().try_for_each(|(path, mode, content)| archive.add(path, *mode, content))?;
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::counted::Stream;
    use crate::archive::cpio::walk;
    use crate::tool::Tool;

    #[test]
    fn what_is_written_is_what_the_cpio_program_reads() {
        let unit = b"[Service]\nExecStart=/bin/true\n";
        let files: [(&str, u32, &[u8]); 3] = [
            ("usr/lib/systemd/system/x.service", 0o100_644, unit),
            ("/usr/lib/systemd/system/initrd.target.wants/x.service", 0o120_777, b"../x.service"),
            ("usr/bin/x", 0o100_755, b""),
        ];
        let archive = write(&files).unwrap();
        assert_eq!(archive, write(&files).unwrap(), "the same files give the same bytes");
        assert_eq!(archive.len() % 4, 0);
        let mut seen = Vec::new();
        walk(&mut Stream::new(&archive[..], u64::MAX), |entry| {
            seen.push((entry.name, entry.mode, entry.size));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen[0], ("usr".to_owned(), 0o40_755, 0));
        assert_eq!(seen[4], (files[0].0.to_owned(), 0o100_644, unit.len() as u64));
        assert_eq!(seen.iter().filter(|entry| entry.0 == "usr/lib").count(), 1);

        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("archive"), &archive).unwrap();
        let script = "cd \"$1\" && mkdir root && cd root && cpio -i -m --quiet < ../archive && find . -printf '%M %p %l\n' | sort -k2";
        let printed = Tool::new("sh").args(["-ec", script, "sh"]).arg(folder.path()).run().unwrap();
        assert_eq!(printed.stderr, "");
        let root = folder.path().join("root");
        assert_eq!(std::fs::read(root.join("usr/lib/systemd/system/x.service")).unwrap(), unit);
        let listed = [
            "drwxr-xr-x ./usr ",
            "-rwxr-xr-x ./usr/bin/x ",
            "-rw-r--r-- ./usr/lib/systemd/system/x.service ",
            "lrwxrwxrwx ./usr/lib/systemd/system/initrd.target.wants/x.service ../x.service",
        ];
        for line in listed {
            assert!(printed.stdout.lines().any(|found| found == line), "{line}: {}", printed.stdout);
        }
    }

    #[test]
    fn a_path_that_is_none_is_not_written() {
        for path in ["", "/", "./", "a\0b", &"x".repeat(4096)] {
            assert!(write(&[(path, 0o100_644, b"")]).is_err(), "{path:?}");
        }
    }
}
