//! Stage 1: a root that holds all layers of an image.

use crate::boot::record::Fixed;
use crate::boot::root_on::RootOn;
use crate::check::partition_names::PartitionNames;
use crate::check::report::Report;
use crate::filesystem::feature_table::Version;
use crate::filesystem::features::Features;
use crate::oci::image::Verified;
use crate::words::slot::Slot;

/// The place of a root, as far as rules, initramfs and command line depend on it.
#[derive(Debug, Clone)]
pub struct Site {
    /// Slot that the root is in; `None` for a form without slots.
    pub slot: Option<Slot>,
    /// Place of the root.
    pub on: RootOn,
    /// Features of its filesystem, if it is made already.
    pub features: Option<Features>,
    /// Version of the GRUB that reads it, or the oldest that it can be.
    pub grub: Version,
    /// Names of the disk's partitions; `None` if it is on no disk.
    pub names: Option<PartitionNames>,
    /// Memory in bytes that the root takes; `None` for one on a disk.
    pub in_memory: Option<u64>,
}

/// A root that holds an entire image, every byte of it verified.
pub struct Filled<R> {
    pub(super) root: R,
    pub(super) site: Site,
    pub(super) earlier: Earlier,
}

/// Findings about the same image in a filesystem that was made again since.
#[derive(Debug, Default)]
pub struct Earlier {
    /// Findings of the first look; `None` before it.
    pub(super) first: Option<Report>,
    /// Fixes that making the filesystem again made.
    pub(super) fixed: Vec<Fixed>,
}

impl<R> Filled<R> {
    /// Takes a root into which all layers were written: reading them to their end is what `verified` proves.
    pub fn new(root: R, site: Site, _verified: Verified) -> Filled<R> {
        Filled { root, site, earlier: Earlier::default() }
    }

    /// Like [`Filled::new`], for a filesystem that was made again because of what was found `earlier`.
    pub fn again(root: R, site: Site, _verified: Verified, earlier: Earlier) -> Filled<R> {
        Filled { root, site, earlier }
    }
}
