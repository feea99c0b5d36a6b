//! Kernel, initramfs and command line of an image: one value, from which the GRUB entry, a kexec and every
//! other way to boot are made, so that they cannot differ.

use crate::boot::cmdline::Cmdline;
use crate::boot::recorded::Recorded;
use crate::kernel::find::Kernel;
use crate::words::digest::Digest;
use crate::words::region::TableKind;
use serde::{Deserialize, Serialize};

/// Everything needed to boot an image, wherever its root is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Name for people, from the image's os-release.
    pub title: String,
    /// Kernel in the root filesystem.
    pub kernel: Kernel,
    /// SHA-256 of the kernel's bytes.
    pub kernel_digest: Digest,
    /// Path of the initramfs in the root filesystem.
    pub initramfs: String,
    /// SHA-256 of the initramfs' bytes.
    pub initramfs_digest: Digest,
    /// Kernel command line, without the words of a trial.
    pub cmdline: Cmdline,
}

/// An entry in a slot, with what GRUB needs to find the slot. Its JSON form is one object, in which `table` and
/// `partition` are beside the fields of the entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrubEntry {
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
    /// Kind of the disk's partition table; not in records of the first disks, which have a GPT.
    #[serde(default)]
    pub table: Recorded<TableKind>,
    /// Number of the slot's partition in that table: GRUB's `gptN` or `msdosN`.
    pub partition: u32,
}
