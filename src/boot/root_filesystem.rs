//! Whether a slot's own kernel and GRUB can read the root filesystem that was made for it. What
//! flipslot makes by itself, all of them read; a user's options, or a program that turns on something
//! new by itself, can make something else.

use crate::boot::kernel::Kernel;
use crate::error::{Result, failed};
use crate::filesystem::Filesystem;
use crate::filesystem::feature_table::Version;
use crate::filesystem::features::Features;

/// The oldest GRUB that a disk may have been made with: that of Debian 12 and Ubuntu 22.04.
pub const OLDEST_GRUB: Version = (2, 6);
/// Newer than every GRUB: what this one does not read, none does.
const ANY_GRUB: Version = (u32::MAX - 1, 0);

/// Fails if the kernel cannot mount the root filesystem, or if no GRUB can read the kernel in it.
pub fn check(filesystem: Filesystem, features: &Features, kernel: &Kernel) -> Result<()> {
    let too_new = features.too_new_for_kernel(&kernel.version);
    let unread = features.unread_by_grub(ANY_GRUB);
    let (who, which) = match (too_new.is_empty(), unread.is_empty()) {
        (true, true) => return Ok(()),
        (false, _) => (format!("kernel {} does not mount", kernel.version), too_new),
        (true, false) => ("no GRUB reads".to_owned(), unread),
    };
    Err(failed(
        format!("the slot's {filesystem} has features with which {who} it: {}", which.join(", ")),
        "leave them out of --mkfs-options; without any, choose another --filesystem and report it",
    ))
}

/// What to tell the user if GRUB of this version, as it was released, does not read the slot: a
/// distribution's may, or only a jump by kexec reaches it.
pub fn unread(features: &Features, (major, minor): Version) -> Option<String> {
    let unread = features.unread_by_grub((major, minor));
    (!unread.is_empty()).then(|| {
        format!(
            "GRUB {major}.{minor:02} as it was released does not read a filesystem with {}: see that the slot boots through GRUB before you rely on it",
            unread.join(", ")
        )
    })
}
