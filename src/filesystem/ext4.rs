//! ext4 in a slot: made with features that the slot's kernel and GRUB read, and checked afterwards.

use crate::error::Result;
use crate::filesystem::feature_table::{EVER, Feature, NEVER, Words, compat, incompat, ro_compat};
use crate::filesystem::mkfs::New;
use crate::filesystem::properties::{Growth, Kind, NewUuid, On, OnDevice, Superblock};
use crate::mount::vacant::{Ground, Vacant};
use crate::tool::Tool;
use crate::words::units::{Bytes, MIB};
use anyhow::Context;
use std::path::Path;
use uuid::Uuid;

/// Properties and operations of ext4.
pub const KIND: Kind = Kind {
    name: "ext4",
    grub_module: "ext2",
    // For its checksums; ext4 names these modules in modules.softdep or not at all.
    helpers: &["crc32c_generic", "crc32c_intel"],
    early: false,
    // Do not load the journal on mounting (ext4(5), "noload").
    as_grub_reads: c"noload",
    features: &KNOWN,
    superblock_end: 2048,
    read_superblock,
    on: On::Device(OnDevice {
        programs: &[("mke2fs", "e2fsprogs"), ("e2fsck", "e2fsprogs")],
        // A journal needs 2048 blocks (e2fsprogs: lib/ext2fs/mkjournal.c, ext2fs_default_journal_size).
        smallest: Bytes(8 * MIB),
        // No background zeroing of inode tables while we write (ext4(5), "noinit_itable").
        to_write: c"noinit_itable",
        refuse_words: |_| Ok(()),
        format,
        check,
        new_uuid: NewUuid {
            programs: &[("e2fsck", "e2fsprogs"), ("tune2fs", "e2fsprogs"), ("resize2fs", "e2fsprogs")],
            // e2fsck replays the journal.
            waits_for_replay: |_| Ok(false),
            set: set_uuid,
        },
        growth: Growth::Unmounted(grow),
    }),
};

/// Hint where the programs are missing.
const HINT: &str = "install e2fsprogs (apt-get install e2fsprogs)";

/// Makes an ext4 filesystem over all of `partition`. Of the user's options, features (`-O`) and extended ones
/// (`-E`) are added to ours; the others replace ours, except for label and UUID.
fn format(partition: &Vacant, new: &New) -> Result<()> {
    // - lazy_itable_init: leaves zeroing the inode tables to the kernel's first mount; saves seconds on a
    //   large slot. Their checksums show the kernel which are not zeroed yet.
    // - lazy_journal_init: likewise for the journal, only where it is zeros already: an old journal's blocks
    //   could be taken for new ones after a crash (mke2fs(8)).
    // - nodiscard: a discard is useless on a file; on a disk, the caller has decided.
    // - root_owner: otherwise a build run by another user than root would own `/`.
    let lazy_journal = if partition.ground() == Ground::Zeros { ",lazy_journal_init=1" } else { "" };
    let mut extended = format!("lazy_itable_init=1{lazy_journal},nodiscard,root_owner=0:0");
    if new.epoch.is_some() {
        // The seed for hashing names in directories, otherwise random (mke2fs(8)).
        extended += &format!(",hash_seed={}", new.uuid);
    }
    let known = FEATURES.split(',').filter(|name| new.may_have(&KNOWN, name));
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
        .arg(partition.path())
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
/// and others that nothing here uses. The versions of each are in `KNOWN`.
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

/// Gives the filesystem on `device` a UUID. tune2fs takes a filesystem with checksums only if it was just checked
/// (tune2fs(8), "-U"): the UUID is in every one of them.
fn set_uuid(device: &Path, uuid: Uuid) -> Result<()> {
    check_and_repair(device)?;
    let set = Tool::new("tune2fs").args(["-U", &uuid.to_string()]).arg(device);
    set.run().map(drop).context("giving the ext4 filesystem a UUID of its own")
}

/// Grows the filesystem to the size of `device`. Checks it first: resize2fs requires that after a change of the
/// UUID.
fn grow(device: &Path) -> Result<()> {
    check_and_repair(device)?;
    Tool::new("resize2fs").arg(device).run().map(drop).context("growing the ext4 filesystem")
}

/// Runs e2fsck(8) with "-p": replays the journal, and fixes what can be fixed without a question; exit code 1
/// says that it did. Anything worse is a failure.
fn check_and_repair(device: &Path) -> Result<()> {
    let check = Tool::new("e2fsck").args(["-f", "-p"]).arg(device);
    check.run_for(&[0, 1]).map(drop).context("checking the ext4 filesystem")
}

/// Reads `struct ext4_super_block` at byte 1024 (fs/ext4/ext4.h): s_magic at 0x38, s_feature_compat at 0x5c,
/// s_feature_incompat at 0x60, s_feature_ro_compat at 0x64, s_uuid at 0x68, little-endian.
fn read_superblock(bytes: &[u8]) -> Option<Superblock> {
    const MAGIC: u16 = 0xef53;
    let superblock = bytes.get(1024..KIND.superblock_end)?;
    if u16::from_le_bytes(superblock[0x38..0x3a].try_into().ok()?) != MAGIC {
        return None;
    }
    let word = |at: usize| superblock[at..at + 4].try_into().map(u32::from_le_bytes).map(u64::from).ok();
    let words = Words { compat: word(0x5c)?, ro_compat: word(0x64)?, incompat: word(0x60)? };
    Some(Superblock { uuid: Uuid::from_slice(&superblock[0x68..0x78]).ok()?, features: words.features(&KNOWN) })
}

/// Features of ext2, ext3 and ext4. The bits are those of Linux 6.15, `fs/ext4/ext4.h` ("Feature set
/// definitions"), the kernels those of ext4(5), "KERNEL SUPPORT" (e2fsprogs 1.47), the GRUBs those of
/// `EXT2_DRIVER_SUPPORTED_INCOMPAT` and `EXT2_DRIVER_IGNORED_INCOMPAT` in `grub-core/fs/ext2.c`.
const KNOWN: [Feature; 39] = [
    compat("dir_prealloc", 0x1, EVER),
    compat("imagic_inodes", 0x2, EVER),
    compat("has_journal", 0x4, EVER),
    compat("ext_attr", 0x8, EVER),
    compat("resize_inode", 0x10, EVER),
    compat("dir_index", 0x20, EVER),
    compat("sparse_super2", 0x200, (3, 16)),
    // An older kernel mounts this one and orphan_file only after a clean unmount: a newer one that is cut off
    // while it carries files over leaves a filesystem that the older one refuses (jbd2's FAST_COMMIT,
    // orphan_present).
    compat("fast_commit", 0x400, (5, 10)),
    compat("stable_inodes", 0x800, (5, 5)),
    compat("orphan_file", 0x1000, (5, 15)),
    ro_compat("sparse_super", 0x1, EVER),
    ro_compat("large_file", 0x2, EVER),
    ro_compat("btree_dir", 0x4, EVER),
    ro_compat("huge_file", 0x8, EVER),
    ro_compat("uninit_bg", 0x10, EVER),
    ro_compat("dir_nlink", 0x20, EVER),
    ro_compat("extra_isize", 0x40, EVER),
    ro_compat("quota", 0x100, (3, 6)),
    ro_compat("bigalloc", 0x200, (3, 2)),
    ro_compat("metadata_csum", 0x400, (3, 18)),
    // Every kernel mounts it read-only: that is its meaning.
    ro_compat("read-only", 0x1000, NEVER),
    ro_compat("project", 0x2000, (4, 5)),
    ro_compat("verity", 0x8000, (5, 4)),
    ro_compat("orphan_present", 0x1_0000, (5, 15)),
    incompat("compression", 0x1, NEVER, NEVER),
    incompat("filetype", 0x2, EVER, EVER),
    incompat("needs_recovery", 0x4, EVER, EVER),
    // A journal for another device, not a filesystem.
    incompat("journal_dev", 0x8, NEVER, NEVER),
    incompat("meta_bg", 0x10, EVER, EVER),
    incompat("extent", 0x40, EVER, EVER),
    // GRUB 2.02 (its NEWS).
    incompat("64bit", 0x80, EVER, EVER),
    incompat("mmp", 0x100, (3, 0), EVER),
    incompat("flex_bg", 0x200, EVER, EVER),
    incompat("ea_inode", 0x400, (4, 13), NEVER),
    // GRUB 7fd5feff97c4, three days after 2.06 was tagged.
    incompat("metadata_csum_seed", 0x2000, (4, 4), (2, 12)),
    // GRUB 2e9fa73a0404.
    incompat("large_dir", 0x4000, (4, 13), (2, 12)),
    incompat("inline_data", 0x8000, (3, 8), NEVER),
    // Files that are not encrypted are read, since 2.04.
    incompat("encrypt", 0x1_0000, (4, 1), (2, 4)),
    incompat("casefold", 0x2_0000, (5, 2), NEVER),
];
