//! Mounts a filesystem that is one file.

use crate::error::Result;
use crate::init::load::Loader;
use crate::sys::loop_device::{attach, free_number};
use anyhow::Context;
use rustix::mount::{MountFlags, mount};
use std::fs::{self, File};
use std::os::fd::AsFd;

/// An image that is mounted.
pub struct Mounted<'m> {
    /// Place at which it is mounted.
    pub place: &'m str,
    /// Path of its file, in memory.
    pub file: &'m str,
    /// Filesystem in that file.
    pub format: &'m str,
    /// SHA-256 of the file, in hexadecimal; `None` if it was not compared.
    pub digest: Option<&'m str>,
    /// Layers of the host, each with its path and digest.
    pub layers: &'m [(String, String)],
    /// Name that the network has for this machine.
    pub host: Option<&'m str>,
}

/// Mounts the file at `path` at `place`, for reading alone, with the drivers that this needs. `what` names it in errors.
pub fn mount_file(what: &str, path: &str, filesystem: &str, place: &str, loader: &mut Loader) -> Result<()> {
    loader.load(&["loop"]);
    let (device, attached) = looped(path).with_context(|| format!("attaching {what} {path}"))?;
    mount_at(&device, (what, path), filesystem, place, loader)?;
    drop(attached);
    Ok(())
}

/// Mounts the device of a file at `place`, for reading alone. Its name and path are for errors.
pub fn mount_at(
    device: &str,
    (what, path): (&str, &str),
    filesystem: &str,
    place: &str,
    loader: &mut Loader,
) -> Result<()> {
    loader.load(&["overlay", filesystem]);
    fs::create_dir_all(place)?;
    mount(device, place, filesystem, MountFlags::RDONLY | MountFlags::NODEV, c"")
        .with_context(|| format!("mounting {what} {path} as {filesystem}"))
}

/// Attaches a file to a loop device; returns the path of that, and what keeps it attached until it is mounted.
pub fn looped(path: &str) -> Result<(String, File)> {
    let file = File::open(path)?;
    let control = File::open("/dev/loop-control")?;
    let device = format!("/dev/loop{}", free_number(&control)?);
    let attached = File::open(&device)?;
    attach(&attached, file.as_fd())?;
    Ok((device, attached))
}
