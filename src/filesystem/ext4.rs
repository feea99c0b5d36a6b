//! ext4 in a slot: made with features that the slot's kernel and GRUB read, and checked afterwards.

use crate::error::Result;
use crate::filesystem::feature_table;
use crate::filesystem::kind::{Kind, New};
use crate::mount::vacant::Ground;
use crate::tool::Tool;
use crate::words::units::{Bytes, MIB};
use anyhow::Context;
use std::path::Path;

/// Properties and operations of ext4.
pub const KIND: Kind = Kind {
    name: "ext4",
    // No background zeroing of inode tables while we write (ext4(5), "noinit_itable").
    to_write: c"noinit_itable",
    // Do not load the journal on mounting (ext4(5), "noload").
    as_grub_reads: c"noload",
    programs: &[("mke2fs", "e2fsprogs"), ("e2fsck", "e2fsprogs")],
    // For its checksums; ext4 names these modules in modules.softdep or not at all.
    helpers: &["crc32c_generic", "crc32c_intel"],
    early: false,
    // A journal needs 2048 blocks (e2fsprogs: lib/ext2fs/mkjournal.c, ext2fs_default_journal_size).
    smallest: Bytes(8 * MIB),
    refuse_words: |_| Ok(()),
    format,
    check,
};

/// Hint where the programs are missing.
const HINT: &str = "install e2fsprogs (apt-get install e2fsprogs)";

/// Makes an ext4 filesystem over all of `device`. Of the user's options, features (`-O`) and extended ones
/// (`-E`) are added to ours; the others replace ours, except for label and UUID.
fn format(device: &Path, new: &New) -> Result<()> {
    // - lazy_itable_init: leaves zeroing the inode tables to the kernel's first mount; saves seconds on a
    //   large slot. Their checksums show the kernel which are not zeroed yet.
    // - lazy_journal_init: likewise for the journal, only where it is zeros already: an old journal's blocks
    //   could be taken for new ones after a crash (mke2fs(8)).
    // - nodiscard: a discard is useless on a file; on a disk, the caller has decided.
    // - root_owner: otherwise a build run by another user than root would own `/`.
    let lazy_journal = if new.ground == Ground::Zeros { ",lazy_journal_init=1" } else { "" };
    let mut extended = format!("lazy_itable_init=1{lazy_journal},nodiscard,root_owner=0:0");
    if new.epoch.is_some() {
        // The seed for hashing names in directories, otherwise random (mke2fs(8)).
        extended += &format!(",hash_seed={}", new.uuid);
    }
    let known = FEATURES.split(',').filter(|name| new.may_have(&feature_table::EXT4, name));
    let mut features = known.collect::<Vec<_>>().join(",");
    let (words, added) = new.options.without(&["-O", "-E"]);
    for (option, value) in added {
        let list = if option == "-O" { &mut features } else { &mut extended };
        *list += &format!(",{value}");
    }
    let mut mke2fs = Tool::new("mke2fs");
    if let Some(epoch) = new.epoch {
        // e2fsprogs: lib/ext2fs/initialize.c; SOURCE_DATE_EPOCH does the same since 1.47.1.
        mke2fs = mke2fs.variable("E2FSPROGS_FAKE_TIME", epoch.to_string());
    }
    mke2fs
        .arg("-q")
        // The caller decides about what is there now: it has refused what must be kept.
        .arg("-F")
        .args(["-t", "ext4"])
        .args(["-b", "4096"])
        // Room for nanoseconds and for years after 2038, also in a small slot.
        .args(["-I", "256"])
        // No blocks reserved for root: on a root filesystem, everything is root's.
        .args(["-m", "0"])
        .args(words)
        // Of two options, the last one counts.
        .args(["-L", new.label])
        .args(["-U", &new.uuid.to_string()])
        .args(["-O", &features])
        .args(["-E", &extended])
        .arg(device)
        .hint(HINT)
        .run()
        .map(drop)
        .context("making an ext4 filesystem")
}

/// The complete feature set, whatever the host's mke2fs.conf says: "none" first.
///
/// Everything here is in Linux 3.18 or older (Documentation/filesystems/ext4, feature flags) and is read by
/// GRUB 2.06's `fs/ext2.c` (EXT2_DRIVER_SUPPORTED_INCOMPAT and the ignored ones). Omitted on purpose:
/// `metadata_csum_seed` and `orphan_file`, which mke2fs 1.47 turns on by default: GRUB 2.06 refuses the first
/// ("unknown filesystem"), a kernel before 5.15 the second; `casefold`, which would merge two names of an
/// image into one; `large_dir`, `ea_inode`, `inline_data`, which GRUB 2.06 does not read; and `verity`, `encrypt`
/// and others that nothing here uses. The versions of each are in `feature_table.rs`.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
                        sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// Checks the filesystem on `device`, which is not mounted, and changes nothing.
fn check(device: &Path) -> Result<()> {
    Tool::new("e2fsck")
        .args(["-f", "-n"])
        .arg(device)
        .hint(HINT)
        .run()
        .map(drop)
        .context("checking the ext4 filesystem")
}
