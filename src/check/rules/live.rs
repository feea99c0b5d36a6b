//! Rules about a root that is an image in memory, or one file that is only read: what works on a disk, and not there.

use crate::boot::root_on::{RootOn, least_memory};
use crate::check::subject::Subject;
use crate::check::units::is_enabled;
use crate::error::Result;
use crate::initramfs::dracut::FOLDER as MODULES_OF_DRACUT;
use crate::words::units::Bytes;

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

/// Modules of dracut that fetch a root and lay memory over it, with the package of each in Debian and Fedora.
const OF_LIVENET: [(&str, &str); 2] = [("dmsquash-live", "dracut-live"), ("livenet", "dracut-network, or dracut-live")];
/// Programs that they need, with their packages.
const FOR_LIVENET: [(&str, &str); 2] = [("usr/bin/curl", "curl"), ("usr/sbin/dmsetup", "dmsetup, or device-mapper")];

/// Finds what dracut needs for an initramfs that fetches the root, and the image does not have.
pub fn livenet(subject: &Subject) -> Result<Vec<String>> {
    if !subject.on.is_livenet() {
        return Ok(Vec::new());
    }
    let known = subject.tree.list(MODULES_OF_DRACUT)?;
    let is_known = |name: &str| known.iter().any(|folder| folder.get(2..) == Some(name));
    let missing = OF_LIVENET.iter().filter(|(name, _)| !is_known(name));
    let mut found: Vec<String> =
        missing.map(|(name, package)| format!("dracut has no module {name} (package {package})")).collect();
    // On a system without a merged /usr, one of them is in /sbin.
    let is_there =
        |path: &str| [path, path.trim_start_matches("usr/")].iter().any(|path| subject.tree.has_program(path));
    let lacking = FOR_LIVENET.iter().filter(|(path, _)| !is_there(path));
    found.extend(lacking.map(|(path, package)| format!("there is no /{path} (package {package})")));
    Ok(found)
}

/// Finds programs that run containers, where the root is an overlay.
pub fn containers(subject: &Subject) -> Result<Vec<String>> {
    let RootOn::Live { format, .. } = &subject.on else { return Ok(Vec::new()) };
    if format.filesystem().is_none() {
        return Ok(Vec::new()); // files in memory
    }
    let found = CONTAINERS.into_iter().filter(|path| subject.tree.has_program(path));
    Ok(found.map(|path| format!("the image has /{path}, and its root is an overlay")).collect())
}

/// Memory in bytes that firmware and kernel keep, and an inventory does not count: that of a machine with 512 MiB says 470.
const KEPT: u64 = 64 << 20;

/// Finds a machine whose memory has no room for the root.
pub fn memory(subject: &Subject) -> Result<Vec<String>> {
    let (Some(root), Some(memory)) = (subject.in_memory, subject.inventory.memory) else { return Ok(Vec::new()) };
    let needed = least_memory(root);
    if needed <= memory.saturating_add(KEPT) {
        return Ok(Vec::new());
    }
    let found = format!("the root takes {} of memory: it needs a machine with {}", Bytes(root), Bytes(needed));
    Ok(vec![format!("{found}, and this one has {}", Bytes(memory))])
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
