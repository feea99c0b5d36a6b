//! Mounts in a private namespace: no other process sees them, and they end with this one.

use crate::error::{Result, failed};
use anyhow::Context;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Access to a mounted device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Only read it: the kernel writes nothing to it either, if the options of the filesystem see to that.
    Read,
    /// Write to it, too.
    Write,
}

/// Capacity of an in-memory filesystem.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Bytes of all files.
    pub bytes: u64,
    /// Number of files, directories and links.
    pub files: u32,
}

/// A mount; unmounted on drop, or by [`Mount::close`], which reports failure.
pub struct Mount {
    mount_point: PathBuf,
    open: bool,
}

impl Mount {
    /// Mounts the filesystem on `device` at `mount_point`, such that nothing in it can be run or used as a device.
    /// `kind` is its name and `options` its own options, both as for mount(2).
    pub(crate) fn device(
        device: &Path,
        mount_point: &Path,
        kind: &str,
        access: Access,
        options: &CStr,
    ) -> Result<Mount> {
        let access = match access {
            Access::Read => MountFlags::RDONLY,
            Access::Write => MountFlags::NOATIME,
        };
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | access;
        Mount::new(device, mount_point, kind, flags, options)
    }

    /// Mounts an empty in-memory filesystem, in which no device can be opened. It takes half of the machine's memory
    /// (tmpfs(5)).
    pub fn memory(mount_point: &Path) -> Result<Mount> {
        Mount::empty(mount_point, c"mode=0755")
    }

    /// Mounts an empty in-memory filesystem of this capacity, in which no device can be opened.
    pub fn memory_of(room: Room, mount_point: &Path) -> Result<Mount> {
        let options = CString::new(format!("mode=0755,size={},nr_inodes={}", room.bytes, room.files))?;
        Mount::empty(mount_point, &options)
    }

    fn empty(mount_point: &Path, options: &CStr) -> Result<Mount> {
        Mount::new(Path::new("flipslot"), mount_point, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options)
    }

    /// Mounts an in-memory filesystem with the devices that `make` puts there, and makes it read-only.
    pub fn devices(mount_point: &Path, make: impl Fn(&Path) -> Result<()>) -> Result<Mount> {
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        let mounted = Mount::new(Path::new("flipslot"), mount_point, "tmpfs", flags, c"mode=0755")?;
        make(mount_point).with_context(|| format!("making devices in {}", mount_point.display()))?;
        mount_remount(mount_point, flags | MountFlags::RDONLY, c"mode=0755").context("making the devices read-only")?;
        Ok(mounted)
    }

    /// Makes the tree at `from` visible at `mount_point` too, read-only but executable: its bytes were verified.
    pub fn runnable(from: &Path, mount_point: &Path) -> Result<Mount> {
        let binding = || format!("binding {} to {}", from.display(), mount_point.display());
        mount_bind(from, mount_point).with_context(binding)?;
        let bound = Mount { mount_point: mount_point.to_owned(), open: true };
        let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY;
        mount_remount(mount_point, flags, c"").with_context(binding)?;
        Ok(bound)
    }

    fn new(device: &Path, mount_point: &Path, kind: &str, flags: MountFlags, data: &CStr) -> Result<Mount> {
        let device = CString::new(device.as_os_str().as_bytes())?;
        mount(device.as_c_str(), mount_point, kind, flags, data)
            .with_context(|| format!("mounting {} ({kind}) at {}", device.to_string_lossy(), mount_point.display()))?;
        Ok(Mount { mount_point: mount_point.to_owned(), open: true })
    }

    /// Returns the mount point.
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// Unmounts; an error means that something still uses the mount.
    pub fn close(mut self) -> Result<()> {
        self.open = false;
        unmount(&self.mount_point, UnmountFlags::empty()).map_err(|errno| {
            failed(format!("cannot unmount {}: {errno}", self.mount_point.display()), "run the command again")
        })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.open
            && let Err(errno) = unmount(&self.mount_point, UnmountFlags::DETACH)
        {
            crate::stderr!("flipslot: cannot unmount {}: {errno}", self.mount_point.display());
        }
    }
}
