//! A private mount namespace with a filesystem in memory, where mount points and small files are made.

use crate::error::{Result, refused};
use crate::sys::namespace::enter_private_mounts;
use anyhow::Context;
use rustix::mount::{MountFlags, mount};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Directory of our mounts, which every other process sees empty.
const PLACE: &str = "/run/flipslot";

/// A private mount namespace with an in-memory filesystem at `/run/flipslot`, where mount points and small
/// files are made. Nothing of it survives a kill.
pub struct Scratch {
    _private: (),
}

impl Scratch {
    /// Moves this thread, and those it starts later, into a new namespace. Needs root.
    pub fn enter() -> Result<Scratch> {
        enter_private_mounts().map_err(|errno| {
            refused(
                format!("cannot make a mount namespace: {errno}"),
                "run as root (sudo); in a container, with CAP_SYS_ADMIN (--privileged)",
            )
        })?;
        let made = DirBuilder::new().mode(0o700).recursive(true).create(PLACE);
        made.with_context(|| format!("making the directory {PLACE}"))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount(c"flipslot", PLACE, c"tmpfs", flags, c"mode=0700")
            .with_context(|| format!("mounting a tmpfs at {PLACE}"))?;
        Ok(Scratch { _private: () })
    }

    /// Returns the path of `name` in the private filesystem.
    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(PLACE).join(name)
    }

    /// Makes the directory `name` in the private filesystem, to mount something on.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path).with_context(|| format!("making the directory {}", path.display()))?;
        Ok(path)
    }
    /// Makes an empty file there that has no name any more, to be written and read.
    pub fn file(&self, name: &str) -> Result<File> {
        let path = self.path(name);
        let making = || format!("making {}", path.display());
        let file = File::options().read(true).write(true).create_new(true).open(&path).with_context(making)?;
        fs::remove_file(&path).with_context(making)?;
        Ok(file)
    }
}
