//! Mounts in a private namespace: no other process sees them, and they end with this one.

use crate::error::{Result, failed, refused};
use crate::filesystem::kind::Filesystem;
use anyhow::Context;
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, MountFlags, UnmountFlags, fsopen, mount, mount_bind, mount_remount, unmount};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

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
