//! Single files put into a slot, beside what its image holds: whole or not at all.

use crate::error::Result;
use crate::filesystem::metadata::{self, Before};
use crate::filesystem::mounted::new_directory;
use crate::filesystem::root::Root;
use crate::filesystem::walk;
use crate::layer::LayerPath;
use crate::layer::entry::Meta;
use anyhow::Context;
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, symlinkat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// What a file is called until it is whole; one run has the slot for itself.
const NEW: &str = ".flipslot-new";

/// Puts a file at `path`; what stood there is replaced at once. Directories are made as needed.
pub fn file(root: &Root, path: &LayerPath, meta: &Meta, body: &mut impl Read) -> Result<()> {
    put(root, path, |parent| {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(parent, NEW, flags, Mode::RUSR | Mode::WUSR)?);
        io::copy(body, &mut file)?;
        metadata::set(&file, meta, Before::Missing)?;
        Ok(file.sync_all()?)
    })
}

/// Puts a text at `path`; a file that stood there keeps its owner and mode.
pub fn text(root: &Root, path: &LayerPath, text: &(impl AsRef<[u8]> + ?Sized)) -> Result<()> {
    let meta = match root.file(path) {
        Ok(file) => metadata::get(&file)?,
        Err(_) => Meta { mode: 0o644, ..Meta::default() },
    };
    file(root, path, &meta, &mut text.as_ref())
}

/// Takes away the file or link at `path`, which is not followed; nothing there is no error.
pub fn remove(root: &Root, path: &LayerPath) -> Result<()> {
    let removing = || format!("removing {path} from the slot");
    let (folder, name) = path.split().context("the root directory cannot be removed").with_context(removing)?;
    match root.directory(&folder).and_then(|folder| unlinkat(&folder, name, AtFlags::empty())) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(errno) => Err(errno).with_context(removing),
    }
}

/// Puts a symbolic link at `path`.
pub fn symlink(root: &Root, path: &LayerPath, target: &[u8]) -> Result<()> {
    put(root, path, |parent| Ok(symlinkat(target, parent, NEW)?))
}

/// Makes the directory `path`, which is not there.
pub fn directory(root: &Root, path: &LayerPath, meta: &Meta) -> Result<()> {
    let making = || format!("making the directory {path} in the slot");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let made = walk::open_or_make(root.fd(), path.as_bytes(), flags, &new_directory).with_context(making)?;
    metadata::set(&made, meta, Before::Missing).with_context(making)
}

fn put(root: &Root, path: &LayerPath, mut make: impl FnMut(&OwnedFd) -> Result<()>) -> Result<()> {
    let putting = || format!("putting {path} into the slot");
    let (folder, name) = path.split().context("the root directory cannot be replaced").with_context(putting)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = walk::open_or_make(root.fd(), folder.as_bytes(), flags, &new_directory).with_context(putting)?;
    match unlinkat(&parent, NEW, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {} // what a killed run left
        Err(errno) => return Err(errno).with_context(putting),
    }
    make(&parent).with_context(putting)?;
    renameat(&parent, NEW, &parent, name).with_context(putting)
}
