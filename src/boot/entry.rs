//! Kernel, initramfs and command line of a slot: one value, from which both the GRUB entry and a
//! kexec are made, so that they cannot differ.

use crate::boot::cmdline::Cmdline;
use crate::boot::kernel::Kernel;
use crate::digest::Digest;
use crate::disk::layout::TableKind;
use serde::{Deserialize, Serialize};

/// How to boot a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// For people: what the image's os-release calls itself.
    pub title: String,
    /// The disk's table.
    #[serde(default)]
    pub table: TableKind,
    /// The partition's number in it: GRUB's `gptN` or `msdosN`.
    pub partition: u32,
    /// The kernel in the slot.
    pub kernel: Kernel,
    /// SHA-256 of the kernel's bytes.
    pub kernel_digest: Digest,
    /// Path of the initramfs in the slot.
    pub initramfs: String,
    /// SHA-256 of the initramfs' bytes.
    pub initramfs_digest: Digest,
    /// The command line.
    pub cmdline: Cmdline,
}
