//! Puts single files into a slot, besides what its image holds: completely or not at all.

use crate::error::{Result, from_io};
use crate::layer::LayerPath;
use crate::layer::entry::Meta;
use crate::root::edit::Edit;
use crate::root::metadata;
use crate::root::metadata::What;
use crate::root::mounted::directory::Root;
use crate::root::mounted::resolve_path;
use crate::root::mounted::resolve_path::Way;
use crate::root::mounted::sink::{new_directory, problem};
use anyhow::Context;
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, symlinkat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

/// Name of a file until it is complete; only one run at a time writes to the slot.
const NEW: &str = ".flipslot-new";

/// Puts a file at `path`, and replaces what was there atomically. Makes directories as needed.
pub fn file(root: &Root, path: &LayerPath, meta: &Meta, body: &mut (impl Read + ?Sized)) -> Result<()> {
    put(root, path, |parent| {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(parent, NEW, flags, Mode::RUSR | Mode::WUSR).map_err(problem)?);
        write_all(body, &mut file)?;
        metadata::set(&file, meta).map_err(problem)?;
        Ok(file.sync_all()?)
    })
}

/// Writes all of `body` to `file`.
fn write_all(body: &mut (impl Read + ?Sized), file: &mut File) -> Result<()> {
    match io::copy(body, file) {
        Err(full) if full.kind() == io::ErrorKind::StorageFull => Err(problem(Errno::NOSPC)),
        copied => copied.map(drop).map_err(from_io),
    }
}

/// Puts a text at `path`; a file that was there keeps its owner and mode.
pub fn text(root: &Root, path: &LayerPath, text: &(impl AsRef<[u8]> + ?Sized)) -> Result<()> {
    let meta = match root.file(path) {
        Ok(file) => metadata::get(&file)?,
        Err(_) => Meta { mode: 0o644, ..Meta::default() },
    };
    file(root, path, &meta, &mut text.as_ref())
}

/// Removes the file or link at `path`, which is not followed; it is not an error if nothing is there.
pub fn remove(root: &Root, path: &LayerPath) -> Result<()> {
    let removing = || format!("removing {path} from the slot");
    let (folder, name) = path.split().context("the root directory cannot be removed").with_context(removing)?;
    let unlink = |folder: OwnedFd| {
        let before = metadata::mtime_of(&folder)?;
        unlinkat(&folder, name, AtFlags::empty())?;
        metadata::set_mtime(&folder, before)
    };
    match root.directory(&folder).and_then(unlink) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(errno) => Err(errno).with_context(removing),
    }
}

/// Puts a symbolic link at `path`, and replaces what was there atomically.
pub fn symlink(root: &Root, path: &LayerPath, target: &[u8]) -> Result<()> {
    put(root, path, |parent| {
        symlinkat(target, parent, NEW).map_err(problem)?;
        Ok(metadata::set_at(parent.as_fd(), NEW.as_bytes(), &Meta::default(), What::Link)?)
    })
}

/// Makes the directory `path`, or changes the metadata of the one that is there. A link is followed.
pub fn directory(root: &Root, path: &LayerPath, meta: &Meta) -> Result<()> {
    let making = || format!("making the directory {path} in the slot");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let made = resolve_path::open_or_make(root.fd(), path.as_bytes(), flags, &mut Way::making(&new_directory))
        .map_err(problem)
        .with_context(making)?;
    metadata::set(&made, meta).map_err(problem).with_context(making)
}

/// Calls `make` to make [`NEW`] in the directory of `path`, and gives that its name. The directory keeps its
/// time.
fn put(root: &Root, path: &LayerPath, mut make: impl FnMut(&OwnedFd) -> Result<()>) -> Result<()> {
    let putting = || format!("putting {path} into the slot");
    let (folder, name) = path.split().context("the root directory cannot be replaced").with_context(putting)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = resolve_path::open_or_make(root.fd(), folder.as_bytes(), flags, &mut Way::making(&new_directory))
        .map_err(problem)
        .with_context(putting)?;
    let before = metadata::mtime_of(&parent).with_context(putting)?;
    discard(&parent).with_context(putting)?; // what a killed run left
    let made = make(&parent).and_then(|()| Ok(renameat(&parent, NEW, &parent, name)?));
    let made = made.or_else(|error| discard(&parent).map_err(Into::into).and(Err(error)));
    metadata::set_mtime(&parent, before).with_context(putting)?;
    made.with_context(putting)
}

/// Removes a file that was not completed; finding none is not an error.
fn discard(parent: &OwnedFd) -> rustix::io::Result<()> {
    match unlinkat(parent, NEW, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

impl Edit for Root {
    fn put_file(&mut self, path: &LayerPath, meta: &Meta, body: &mut dyn Read) -> Result<()> {
        file(self, path, meta, body)
    }

    fn put_symlink(&mut self, path: &LayerPath, target: &[u8]) -> Result<()> {
        symlink(self, path, target)
    }

    fn put_directory(&mut self, path: &LayerPath, meta: &Meta) -> Result<()> {
        directory(self, path, meta)
    }

    fn remove(&mut self, path: &LayerPath) -> Result<()> {
        remove(self, path)
    }

    fn meta(&self, path: &LayerPath) -> Result<Option<Meta>> {
        match self.openat(path, OFlags::PATH).and_then(metadata::get) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            meta => meta.map(Some).with_context(|| format!("looking at {path} in the slot")),
        }
    }
}
