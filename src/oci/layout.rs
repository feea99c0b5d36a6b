//! An OCI image layout in a directory (OCI image specification, image-layout.md).

use crate::error::{Result, failed, refused};
use crate::oci::document;
use crate::oci::document::{DOCUMENT_MAX, Descriptor, Document};
use crate::oci::reference::Pin;
use crate::oci::source::Source;
use anyhow::Context;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The annotation that holds an image's tag in a layout (OCI image specification, annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An opened OCI image layout.
pub struct Layout {
    directory: OwnedFd,
    path: PathBuf,
}

impl Layout {
    /// Opens the directory at `path` and reads its `index.json`.
    pub fn open(path: &Path) -> Result<(Layout, Vec<Descriptor>)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
            refused(
                format!("{} is not an OCI image layout: {errno}", path.display()),
                "name a directory that holds index.json",
            )
        })?;
        let layout = Layout { directory, path: path.to_owned() };
        let bytes = read_limited(layout.file("index.json")?, DOCUMENT_MAX)?;
        Ok((layout, index(&bytes).with_context(|| format!("reading {}/index.json", path.display()))?))
    }

    /// Opens a regular file of the layout. Symbolic links are not followed anywhere in the path (without
    /// openat2(2), in its last component): a foreign layout could name any file of this machine.
    fn file(&self, name: &str) -> Result<File> {
        let context = || format!("opening {}/{name}", self.path.display());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
        let file = match openat2(&self.directory, name, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM) => openat(&self.directory, name, flags, Mode::empty()),
            file => file,
        };
        let file = file.map_err(|errno| match errno {
            Errno::LOOP => {
                failed("it is a symbolic link, which is not followed in a layout", "copy the layout with its files")
            }
            errno => errno.into(),
        });
        let file = file.with_context(context)?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(failed("it is not a regular file", "copy the layout again")).with_context(context);
        }
        Ok(file.into())
    }

    fn blob_file(&self, which: &Descriptor) -> Result<File> {
        self.file(&format!("blobs/{}/{}", which.digest.algorithm(), which.digest.hex()))
    }
}

impl Source for Layout {
    fn document(&self, which: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        read_limited(self.blob_file(which)?, limit)
    }

    fn blob(&self, which: &Descriptor) -> Result<Box<dyn Read>> {
        Ok(Box::new(self.blob_file(which)?))
    }
}

/// Parses a layout's `index.json` and returns the descriptors that it lists.
pub fn index(bytes: &[u8]) -> Result<Vec<Descriptor>> {
    match document::parse(bytes)? {
        Document::Index(descriptors) => Ok(descriptors),
        Document::Manifest(_) => Err(failed("it is a manifest, not an index", "copy the layout again")),
    }
}

/// Returns the image of a layout that `pin` names, or its only image.
pub fn pick<'d>(descriptors: &'d [Descriptor], pin: Option<&Pin>) -> Result<&'d Descriptor> {
    let name = |descriptor: &Descriptor| descriptor.annotations.get(REF_NAME).cloned();
    let fits = |descriptor: &&Descriptor| match pin {
        None => true,
        Some(Pin::Digest(digest)) => descriptor.digest == *digest,
        Some(Pin::Tag(tag)) => name(descriptor).as_ref() == Some(tag),
    };
    let mut fitting = descriptors.iter().filter(fits);
    if let (Some(one), None) = (fitting.next(), fitting.next()) {
        return Ok(one);
    }
    let names: Vec<String> = descriptors.iter().map(|d| name(d).unwrap_or_else(|| format!("@{}", d.digest))).collect();
    let asked = pin.map_or("exactly one image".to_owned(), |pin| format!("exactly one image '{pin}'"));
    Err(refused(format!("the layout does not hold {asked}; it holds: {}", names.join(", ")), "name one of them"))
}

/// Reads all of `source`; fails if it is longer than `limit` bytes.
pub fn read_limited(source: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(failed(format!("the document is longer than {limit} bytes"), "copy or push the image again"));
    }
    Ok(bytes)
}
