//! Rules about a root that is an image in memory, or one file that is only read: what works on a disk, and not there.

use crate::boot::root_on::RootOn;
use crate::check::subject::Subject;
use crate::check::units::is_enabled;
use crate::error::Result;

/// Programs that keep an overlay of their own below `/var/lib`, which cannot lie on another one (kernel:
/// filesystems/overlayfs.rst, "Upper directory").
const CONTAINERS: [&str; 4] = ["usr/bin/podman", "usr/bin/dockerd", "usr/bin/containerd", "usr/bin/crio"];
/// Units that write to the disk that a system was started from, and fail, or wait, where there is none.
const OF_DISKS: [&str; 6] = [
    "bootloader-update.service", // bootupd, of Fedora
    "systemd-boot-update.service",
    "systemd-bless-boot.service",
    "systemd-repart.service",
    "grub-initrd-fallback.service",
    "kdump-tools.service",
];

/// Finds programs that run containers, where the root is an overlay.
pub fn containers(subject: &Subject) -> Result<Vec<String>> {
    let RootOn::Live { format, .. } = &subject.on else { return Ok(Vec::new()) };
    if format.filesystem().is_none() {
        return Ok(Vec::new()); // files in memory
    }
    let found = CONTAINERS.into_iter().filter(|path| subject.tree.has_program(path));
    Ok(found.map(|path| format!("the image has /{path}, and its root is an overlay")).collect())
}

/// Finds units that are enabled and need a disk, where the root is on none.
pub fn units_of_disks(subject: &Subject) -> Result<Vec<String>> {
    if !matches!(subject.on, RootOn::Live { .. }) || subject.on.needs_disk() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for unit in OF_DISKS {
        if is_enabled(subject.tree, unit)? {
            found.push(format!("{unit} is started, and works on the disk that a system was started from"));
        }
    }
    Ok(found)
}
