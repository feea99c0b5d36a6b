//! Kernel, initramfs and command line of a slot: one value, from which both the GRUB entry and a kexec are
//! made, so that they cannot differ.

use crate::boot::cmdline::Cmdline;
use crate::kernel::find::Kernel;
use crate::words::digest::Digest;
use crate::words::region::TableKind;
use serde::{Deserialize, Serialize};

/// Everything needed to boot a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Name for people, from the image's os-release.
    pub title: String,
    /// Kind of the disk's partition table.
    #[serde(default)]
    pub table: TableKind,
    /// Number of the slot's partition in that table: GRUB's `gptN` or `msdosN`.
    pub partition: u32,
    /// Kernel in the slot.
    pub kernel: Kernel,
    /// SHA-256 of the kernel's bytes.
    pub kernel_digest: Digest,
    /// Path of the initramfs in the slot.
    pub initramfs: String,
    /// SHA-256 of the initramfs' bytes.
    pub initramfs_digest: Digest,
    /// Kernel command line, without the words of a trial.
    pub cmdline: Cmdline,
}
