//! An index of the files in a tar archive, so that they can be read without unpacking it.

use crate::error::{Result, failed, refused};
use crate::layer::entry::Kind;
use crate::layer::tar::TarReader;
use crate::oci::layout::read_limited;
use anyhow::Context;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The hint for an archive that is damaged.
const SAVE_AGAIN: &str = "save the image again";
/// The most files in an archive: an image has a few for each layer.
const FILES_MAX: usize = 100_000;

/// An image archive with the positions of its files.
pub struct TarIndex {
    file: Arc<File>,
    path: PathBuf,
    items: BTreeMap<String, Item>,
}

#[derive(Debug, Clone)]
enum Item {
    File {
        offset: u64,
        size: u64,
    },
    /// A link to another file: old `docker save` archives share layers by links between directories.
    Link {
        target: String,
    },
}

impl TarIndex {
    /// Reads the headers of the archive at `path` and skips the bodies.
    pub fn open(path: &Path) -> Result<TarIndex> {
        let reading = || format!("reading the archive {}", path.display());
        let file = File::open(path)
            .map_err(|error| refused(format!("{}: {error}", path.display()), "name an archive that exists"))?;
        let mut start = [0; 6];
        let length = file.read_at(&mut start, 0).with_context(reading)?;
        let packed = [(&[0x1f, 0x8b][..], "gunzip"), (&[0x28, 0xb5, 0x2f, 0xfd], "unzstd"), (b"\xfd7zXZ\0", "unxz")];
        if let Some((_, unpack)) = packed.iter().find(|(magic, _)| start[..length].starts_with(magic)) {
            let found = format!("{} is compressed, so its files cannot be read in place", path.display());
            return Err(refused(found, format!("decompress it first: {unpack} {}", path.display())));
        }
        let end = file.metadata().with_context(reading)?.len();
        let items = items(BufReader::new(&file), end).with_context(reading)?;
        Ok(TarIndex { file: Arc::new(file), path: path.to_owned(), items })
    }

    /// Opens the file `name` of the archive, following at most one link.
    pub fn file(&self, name: &str) -> Result<Slice> {
        let mut name = clean(name.as_bytes());
        // A second link is not followed: no tool writes a link to a link.
        for _ in 0..2 {
            match self.items.get(&name) {
                Some(Item::File { offset, size }) => {
                    return Ok(Slice { file: Arc::clone(&self.file), at: *offset, left: *size });
                }
                Some(Item::Link { target }) => name.clone_from(target),
                None => break,
            }
        }
        let found = format!("the archive {} has no file '{}'", self.path.display(), name.escape_debug());
        Err(failed(found, "the archive is damaged or of another kind: save the image again"))
    }

    /// Reads all of a small file; fails if it is longer than `limit` bytes.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        read_limited(self.file(name)?, limit).with_context(|| format!("reading '{name}' of {}", self.path.display()))
    }
}

/// Lists the files and links of an archive that has `end` bytes: the reader of layers reads the headers, so that both
/// see the same files.
fn items(input: BufReader<&File>, end: u64) -> Result<BTreeMap<String, Item>> {
    let mut reader = TarReader::new(input);
    let mut items = BTreeMap::new();
    while let Some(entry) = reader.next_entry()? {
        let offset = reader.input().stream_position().context("reading the position")?;
        let name = clean(entry.path.as_bytes());
        let item = match entry.kind {
            Kind::File { .. } if reader.is_sparse() => {
                let found = format!("'{}' is stored as a sparse file, which cannot be read in place", entry.path);
                return Err(failed(found, "save the image again, without tar's --sparse"));
            }
            Kind::File { size } if end.saturating_sub(offset) < size => {
                return Err(failed(format!("the archive ends in the middle of '{}'", entry.path), SAVE_AGAIN));
            }
            Kind::File { size } => Some(Item::File { offset, size }),
            Kind::Hardlink { target } => Some(Item::Link { target: clean(target.as_bytes()) }),
            Kind::Symlink { target } => Some(Item::Link { target: beside(&name, &String::from_utf8_lossy(&target)) }),
            Kind::Directory | Kind::Node(_) => None,
        };
        items.extend(item.map(|item| (name, item)));
        if items.len() > FILES_MAX {
            return Err(failed("the archive has more than 100000 files", SAVE_AGAIN));
        }
        reader.skip_by(|input, length| Ok(input.seek_relative(i64::try_from(length)?)?))?;
    }
    Ok(items)
}

/// A byte range of a file, read by position.
pub struct Slice {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Slice {
    /// Returns the position in the archive of the next byte.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Returns the number of bytes that are left to read.
    pub fn size(&self) -> u64 {
        self.left
    }
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

fn clean(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim_start_matches("./").trim_matches('/').to_owned()
}

/// Resolves the `target` of the link `name` to a path inside the archive.
fn beside(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn header(name: &str, size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        header
    }

    /// A layer whose size stands in a PAX header alone, as `docker save` writes one of 8 GiB or more, and which holds
    /// something that looks like the archive's next file.
    #[test]
    fn a_layers_size_and_name_in_a_pax_header_count_and_nothing_inside_it_is_a_file_of_the_archive() {
        let mut layer = header("manifest.json", 4).as_bytes().to_vec();
        layer.extend([b'!'; 512]);
        let mut archive = tar::Builder::new(tempfile::NamedTempFile::new().unwrap());
        let size = layer.len().to_string();
        archive.append_pax_extensions([("path", &b"a/layer.tar"[..]), ("size", size.as_bytes())]).unwrap();
        archive.get_mut().write_all(header("short", 0).as_bytes()).unwrap();
        archive.get_mut().write_all(&layer).unwrap();
        archive.append(&header("manifest.json", 4), &b"real"[..]).unwrap();
        let file = archive.into_inner().unwrap();

        let index = TarIndex::open(file.path()).unwrap();
        assert_eq!(index.read("a/layer.tar", 1 << 20).unwrap(), layer);
        assert_eq!(index.read("manifest.json", 1 << 20).unwrap(), b"real");
        assert!(index.file("short").is_err());
        file.as_file().set_len(1600).unwrap();
        assert!(format!("{:#}", TarIndex::open(file.path()).err().unwrap()).contains("ends in the middle"));
    }

    #[test]
    fn links_lead_to_files_of_the_same_archive() {
        assert_eq!(beside("abc/layer.tar", "../def/layer.tar"), "def/layer.tar");
        assert_eq!(beside("abc/layer.tar", "../../../etc/passwd"), "etc/passwd");
    }
}
