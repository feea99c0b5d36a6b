//! The kernel's own filesystems, which everything else needs.

use crate::error::{Result, failed};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use std::ffi::CStr;
use std::fs;

/// A filesystem to mount.
struct Early {
    kind: &'static CStr,
    place: &'static str,
    flags: MountFlags,
    options: &'static CStr,
}

/// Mounts as systemd has them (src/shared/mount-setup.c), which keeps what it finds. `/dev` comes first: what is said
/// goes through it.
const FILESYSTEMS: [Early; 4] = [
    Early { kind: c"devtmpfs", place: "/dev", flags: MountFlags::NOSUID, options: c"mode=0755" },
    Early { kind: c"proc", place: "/proc", flags: NOTHING, options: c"" },
    Early { kind: c"sysfs", place: "/sys", flags: NOTHING, options: c"" },
    Early { kind: c"tmpfs", place: "/run", flags: MountFlags::NOSUID.union(MountFlags::NODEV), options: c"mode=0755" },
];
const NOTHING: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Places of these filesystems, which the root gets.
pub const PLACES: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];

/// Mounts them.
pub fn mount_all() -> Result<()> {
    with(|early| {
        let _ = fs::create_dir(early.place);
        mount(early.kind, early.place, early.kind, early.flags, early.options)
    })
}

fn with(mount: impl Fn(&Early) -> rustix::io::Result<()>) -> Result<()> {
    FILESYSTEMS.iter().try_for_each(|early| match mount(early) {
        // The kernel has mounted /dev already (CONFIG_DEVTMPFS_MOUNT).
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(errno) => {
            let (kind, place) = (early.kind.to_string_lossy(), early.place);
            Err(failed(format!("mounting {kind} at {place}: {errno}"), format!("use a kernel that has {kind}")))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_kernel_without_devtmpfs_is_told_as_what_it_is() {
        let asked = RefCell::new(Vec::new());
        let error = with(|early| {
            asked.borrow_mut().push(early.place);
            if early.place == "/dev" { Err(Errno::NODEV) } else { Ok(()) }
        });
        assert!(error.unwrap_err().to_string().starts_with("mounting devtmpfs at /dev: No such device"));
        assert_eq!(*asked.borrow(), ["/dev"]);
    }

    #[test]
    fn what_is_mounted_already_is_kept() {
        with(|_| Err(Errno::BUSY)).unwrap();
        let asked = RefCell::new(Vec::new());
        with(|early| {
            asked.borrow_mut().push(early.place);
            Ok(())
        })
        .unwrap();
        assert_eq!(*asked.borrow(), PLACES);
    }
}
