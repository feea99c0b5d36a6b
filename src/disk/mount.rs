//! Mounts in a private namespace: no other process sees them, and they end with this one.

use crate::error::{Result, failed, refused};
use crate::filesystem::Filesystem;
use crate::sys::namespace::enter_private_mounts;
use anyhow::Context;
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, MountFlags, UnmountFlags, fsopen, mount, mount_bind, mount_remount, unmount};
use std::ffi::{CStr, CString};
use std::fs::{self, DirBuilder};
use std::os::unix::ffi::OsStrExt;
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
}

/// Refuses a filesystem that the running kernel does not support. The kernel loads a module that is not
/// loaded yet (fsopen(2), which mounts nothing).
pub fn refuse_unknown(filesystem: Filesystem) -> Result<()> {
    match fsopen(filesystem.kind().name, FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(Errno::NODEV) => Err(refused(
            format!("the running kernel does not support {filesystem}: a slot with it cannot be written here"),
            format!("load the driver (modprobe {filesystem}), or choose another --filesystem"),
        )),
        // Linux before 5.2 does not have this call; there the mount itself will fail.
        _ => Ok(()),
    }
}

/// A mount; unmounted on drop, or by [`Mount::close`], which reports failure.
pub struct Mount {
    place: PathBuf,
    open: bool,
}

impl Mount {
    /// Mounts `device` at `place`, such that nothing in it can be run or used as a device.
    pub fn filesystem(device: &Path, filesystem: Filesystem, place: &Path) -> Result<Mount> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
        let kind = filesystem.kind();
        Mount::new(device, place, kind.name, flags, kind.to_write)
    }

    /// Mounts `device` read-only and without its journal, as GRUB reads it: nothing is written, not even the
    /// recovery that a power cut left to be done.
    pub fn as_grub_reads_it(device: &Path, filesystem: Filesystem, place: &Path) -> Result<Mount> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
        let kind = filesystem.kind();
        Mount::new(device, place, kind.name, flags, kind.as_grub_reads)
    }

    /// Mounts an empty in-memory filesystem, in which no device can be opened.
    pub fn memory(place: &Path) -> Result<Mount> {
        Mount::new(Path::new("flipslot"), place, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755")
    }

    /// Mounts an in-memory filesystem with the devices that `make` puts there, and makes it read-only.
    pub fn devices(place: &Path, make: impl Fn(&Path) -> Result<()>) -> Result<Mount> {
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        let mounted = Mount::new(Path::new("flipslot"), place, "tmpfs", flags, c"mode=0755")?;
        make(place).with_context(|| format!("making devices in {}", place.display()))?;
        mount_remount(place, flags | MountFlags::RDONLY, c"mode=0755").context("making the devices read-only")?;
        Ok(mounted)
    }

    /// Makes the tree at `from` visible at `place` too, read-only but executable: its bytes were verified.
    pub fn runnable(from: &Path, place: &Path) -> Result<Mount> {
        let binding = || format!("binding {} to {}", from.display(), place.display());
        mount_bind(from, place).with_context(binding)?;
        let bound = Mount { place: place.to_owned(), open: true };
        let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY;
        mount_remount(place, flags, c"").with_context(binding)?;
        Ok(bound)
    }

    fn new(device: &Path, place: &Path, kind: &str, flags: MountFlags, data: &CStr) -> Result<Mount> {
        let device = CString::new(device.as_os_str().as_bytes())?;
        mount(device.as_c_str(), place, kind, flags, data)
            .with_context(|| format!("mounting {} ({kind}) at {}", device.to_string_lossy(), place.display()))?;
        Ok(Mount { place: place.to_owned(), open: true })
    }

    /// Returns the mount point.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Unmounts; an error means that something still uses the mount.
    pub fn close(mut self) -> Result<()> {
        self.open = false;
        unmount(&self.place, UnmountFlags::empty()).map_err(|errno| {
            failed(format!("cannot unmount {}: {errno}", self.place.display()), "run the command again")
        })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.open
            && let Err(errno) = unmount(&self.place, UnmountFlags::DETACH)
        {
            crate::tell!("flipslot: cannot unmount {}: {errno}", self.place.display());
        }
    }
}
