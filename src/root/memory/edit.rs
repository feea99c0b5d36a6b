//! Edits a root in memory just as a mounted slot is edited.

use crate::error::Result;
use crate::layer::LayerPath;
use crate::layer::entry::Meta;
use crate::layer::path::PATH_MAX;
use crate::root::edit::Edit;
use crate::root::memory::MemoryTree;
use crate::root::memory::nodes::{Body, Place};
use crate::root::memory::retention::Retain;
use crate::root::memory::sink::Missing;
use crate::root::memory::tree::present;
use crate::root::metadata::SELINUX;
use anyhow::Context;
use rustix::io::Errno;
use std::io::{BufReader, Read};

impl MemoryTree {
    /// Finds the place for a file, which must not be that of a directory.
    fn free_place<'p>(&mut self, path: &'p LayerPath) -> Result<Place<'p>> {
        let place = self.place(path)?;
        match self.nodes.at(place) {
            Some(id) if self.nodes.directory(id).is_some() => Err(Errno::ISDIR.into()),
            _ => Ok(place),
        }
    }
}

impl Edit for MemoryTree {
    fn put_file(&mut self, path: &LayerPath, meta: &Meta, body: &mut dyn Read) -> Result<()> {
        let putting = || format!("putting {path} into the image");
        let place = self.free_place(path).with_context(putting)?;
        let (size, held) = self.contents.take(&mut BufReader::new(body), Retain::All).with_context(putting)?;
        self.nodes.put(place, Body::File { size, held }, meta).with_context(putting)
    }

    fn put_symlink(&mut self, path: &LayerPath, target: &[u8]) -> Result<()> {
        let putting = || format!("putting {path} into the image");
        let place = self.free_place(path).with_context(putting)?;
        // The errors of symlink(2).
        match target.len() {
            0 => return Err(Errno::NOENT).with_context(putting),
            length if length > PATH_MAX => return Err(Errno::NAMETOOLONG).with_context(putting),
            _ => {}
        }
        let meta = Meta { mode: 0o777, ..Meta::default() };
        self.nodes.put(place, Body::Symlink { target: target.into() }, &meta).with_context(putting)
    }

    fn put_directory(&mut self, path: &LayerPath, meta: &Meta) -> Result<()> {
        let making = || format!("making the directory {path} in the image");
        let made = self.enter(path, Missing::Make).with_context(making)?;
        self.nodes.set_meta(made.ok_or(Errno::NOENT).with_context(making)?, meta).with_context(making)
    }

    fn remove(&mut self, path: &LayerPath) -> Result<()> {
        let removing = || format!("removing {path} from the image");
        let (folder, name) = path.split().context("the root directory cannot be removed").with_context(removing)?;
        let Some(directory) = self.enter(&folder, Missing::Skip).with_context(removing)? else { return Ok(()) };
        let place = Place { directory, name };
        match self.nodes.at(place) {
            Some(id) if self.nodes.directory(id).is_some() => Err(Errno::ISDIR).with_context(removing),
            _ => {
                self.nodes.remove(place);
                Ok(())
            }
        }
    }

    fn meta(&self, path: &LayerPath) -> Result<Option<Meta>> {
        let found = present(self.find(path)).with_context(|| format!("looking at {path} in the image"))?;
        Ok(found.map(|id| {
            let mut meta = self.nodes.get(id).meta.unpack();
            meta.xattrs.retain(|(name, _)| name != SELINUX.to_bytes());
            meta
        }))
    }
}
