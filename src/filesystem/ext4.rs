//! ext4 in a slot: made with features that the slot's kernel and GRUB read, and checked after.

use crate::error::Result;
use crate::tool::Tool;
use anyhow::Context;
use std::path::Path;
use uuid::Uuid;

/// What to install where the programs are missing.
const HINT: &str = "install e2fsprogs (apt-get install e2fsprogs)";

/// Makes an ext4 filesystem over all of `device`.
pub fn format(device: &Path, label: &str, uuid: Uuid) -> Result<()> {
    Tool::new("mke2fs")
        .arg("-q")
        // What stands there now is the caller's business: it has refused what must be kept.
        .arg("-F")
        .args(["-t", "ext4"])
        .args(["-b", "4096"])
        // No reserved blocks for root: it is a root filesystem, everything in it is root's.
        .args(["-m", "0"])
        .args(["-L", label])
        .args(["-U", &uuid.to_string()])
        .args(["-O", FEATURES])
        // - lazy_itable_init, lazy_journal_init: leave zeroing to the kernel's first mount, which
        //   needs only what is not zero already; seconds on a large slot.
        // - nodiscard: on a file it would undo nothing, on a disk the caller has decided.
        // - root_owner: else a build run by another user than root would own `/`.
        .args(["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0"])
        .arg(device)
        .hint(HINT)
        .run()
        .map(drop)
        .context("making an ext4 filesystem")
}

/// The feature set, whole, whatever the host's mke2fs.conf says: "none" first.
///
/// Everything here is in Linux 3.18 or older (Documentation/filesystems/ext4, feature flags) and
/// is read by GRUB 2.06's `fs/ext2.c` (EXT2_DRIVER_SUPPORTED_INCOMPAT and the ignored ones).
/// Left out on purpose: `metadata_csum_seed` and `orphan_file`, which mke2fs 1.47 turns on by
/// itself: GRUB 2.06 refuses the first ("unknown filesystem"), a kernel before 5.15 the second;
/// `casefold` and `encrypt`, which would make two names of an image one; `verity`,
/// `large_dir`, `inline_data`, which GRUB does not read.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
                        sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// Checks the filesystem on `device`, which is not mounted, and changes nothing.
pub fn check(device: &Path) -> Result<()> {
    Tool::new("e2fsck")
        .args(["-f", "-n"])
        .arg(device)
        .hint(HINT)
        .run()
        .map(drop)
        .context("checking the ext4 filesystem")
}
