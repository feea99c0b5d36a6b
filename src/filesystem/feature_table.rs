//! First versions of Linux and GRUB that can read each feature of a filesystem.
//!
//! Sources: the bits are those of Linux 6.15, `fs/ext4/ext4.h` ("Feature set definitions"),
//! `fs/xfs/libxfs/xfs_format.h` (`XFS_SB_FEAT_*`) and `include/uapi/linux/btrfs.h` (`BTRFS_FEATURE_*`). The
//! kernels of ext4 are those of ext4(5), "KERNEL SUPPORT" (e2fsprogs 1.47), those of btrfs what mkfs.btrfs
//! 6.14 prints for `-O list-all` ("compat="); for what these do not list, and for XFS, the first release
//! whose `*_SUPP` or `*_ALL` mask has the bit. GRUB refuses only bits of the set "incompat" that it does not
//! know: `EXT2_DRIVER_SUPPORTED_INCOMPAT` and `EXT2_DRIVER_IGNORED_INCOMPAT` in `grub-core/fs/ext2.c`,
//! `XFS_SB_FEAT_INCOMPAT_SUPPORTED` in `grub-core/fs/xfs.c`; `grub-core/fs/btrfs.c` checks no bit, and fails
//! only as it reads. The versions of GRUB are upstream's. Distributions put newer readers into older
//! versions: Debian 12's 2.06-13+deb12u2 is 2.12 in both of the first two files.

/// A version by its first two numbers: (5, 10); GRUB 2.06 is (2, 6).
pub type Version = (u32, u32);

/// Version for a feature that is in every version that flipslot can meet.
pub const EVER: Version = (0, 0);
/// Version for a feature that is in no known version.
pub const NEVER: Version = (u32::MAX, 0);

/// The word of the superblock that a bit is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// A program that does not know the bit may write.
    Compat,
    /// A program that does not know the bit may only read.
    RoCompat,
    /// A program that does not know the bit must not touch the filesystem.
    Incompat,
}

/// A feature of a filesystem, and the first versions that support it.
#[derive(Debug, PartialEq, Eq)]
pub struct Feature {
    /// Name as in mke2fs(8), mkfs.xfs(8) or mkfs.btrfs(8), where they have one.
    pub name: &'static str,
    /// Word that the bit is in.
    pub set: Set,
    /// Value of the bit; for a checksum of btrfs, its number.
    pub bit: u64,
    /// First Linux that mounts it for writing.
    pub linux: Version,
    /// First GRUB that reads files on a filesystem with it.
    pub grub: Version,
}

const fn compat(name: &'static str, bit: u64, linux: Version) -> Feature {
    Feature { name, set: Set::Compat, bit, linux, grub: EVER }
}

const fn ro_compat(name: &'static str, bit: u64, linux: Version) -> Feature {
    Feature { name, set: Set::RoCompat, bit, linux, grub: EVER }
}

const fn incompat(name: &'static str, bit: u64, linux: Version, grub: Version) -> Feature {
    Feature { name, set: Set::Incompat, bit, linux, grub }
}

/// The features of ext2, ext3 and ext4.
pub const EXT4: [Feature; 39] = [
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

/// The features of XFS, version 5.
pub const XFS: [Feature; 15] = [
    ro_compat("finobt", 0x1, (3, 16)),
    ro_compat("rmapbt", 0x2, (4, 8)),
    ro_compat("reflink", 0x4, (4, 9)),
    ro_compat("inobtcount", 0x8, (5, 10)),
    incompat("ftype", 0x1, EVER, EVER),
    // GRUB cda0a857dd7a.
    incompat("sparse", 0x2, (4, 2), (2, 4)),
    // GRUB 2.02.
    incompat("meta_uuid", 0x4, (4, 3), EVER),
    // GRUB 8b1e5d1936ff, in 2.06: Debian's 2.06-1 had to fix what it broke (see `V4`).
    incompat("bigtime", 0x8, (5, 10), (2, 6)),
    // Set by xfs_repair or xfs_admin until their work is done; no kernel mounts it.
    incompat("needsrepair", 0x10, NEVER, (2, 12)),
    // GRUB aa7c1322671e.
    incompat("nrext64", 0x20, (5, 19), (2, 12)),
    incompat("exchange", 0x40, (6, 10), (2, 14)),
    incompat("parent", 0x80, (6, 10), (2, 14)),
    incompat("metadir", 0x100, (6, 13), (2, 14)),
    incompat("zoned", 0x200, (6, 15), NEVER),
    incompat("zone_gaps", 0x400, (6, 15), NEVER),
];

/// XFS, version 5 (`crc=1`): no longer experimental since Linux 3.15; GRUB 2.02.
pub const V5: Feature = Feature { name: "crc", set: Set::Incompat, bit: 0, linux: (3, 15), grub: EVER };

/// XFS, version 4 (`crc=0`): GRUB 2.06 reads beyond its directories (fixed by a4b495520e4d).
pub const V4: Feature = Feature { name: "crc=0", set: Set::Incompat, bit: 0, linux: EVER, grub: (2, 12) };

/// Kernel option needed to mount XFS of version 4, and the first version that has the option
/// (fs/xfs/Kconfig); older kernels all mount it.
pub const V4_OPTION: (&str, Version) = ("CONFIG_XFS_SUPPORT_V4", (5, 9));

/// XFS, version 4, with names in which case does not matter (`version=ci`, XFS_SB_VERSION_BORGBIT); GRUB
/// refuses the bit only in a superblock of version 4.
pub const V4_CI: Feature = Feature { name: "version=ci", set: Set::Incompat, bit: 0x4000, linux: EVER, grub: NEVER };

/// The features of btrfs. Each of its words has 64 bits.
pub const BTRFS: [Feature; 20] = [
    ro_compat("free-space-tree", 0x1, (4, 5)),
    // Without it the tree is built again: 4.5 wrote it in another byte order.
    ro_compat("free-space-tree-valid", 0x2, (4, 9)),
    ro_compat("verity", 0x4, (5, 15)),
    ro_compat("block-group-tree", 0x8, (6, 1)),
    incompat("mixed-backref", 0x1, EVER, EVER),
    // GRUB reads files outside the default subvolume, which is where a flash writes them.
    incompat("default-subvol", 0x2, EVER, EVER),
    incompat("mixed-bg", 0x4, EVER, EVER),
    incompat("compress-lzo", 0x8, EVER, EVER),
    // GRUB 2.04 was the first with zstd.
    incompat("compress-zstd", 0x10, (4, 14), (2, 4)),
    incompat("big-metadata", 0x20, EVER, EVER),
    incompat("extref", 0x40, (3, 7), EVER),
    // GRUB 2.04 (its NEWS).
    incompat("raid56", 0x80, (3, 9), (2, 4)),
    incompat("skinny-metadata", 0x100, (3, 10), EVER),
    // Only files with holes are not read: "extent not found". GRUB 7f4e017a1416.
    incompat("no-holes", 0x200, (3, 14), (2, 12)),
    incompat("metadata-uuid", 0x400, (5, 0), EVER),
    // GRUB_BTRFS_CHUNK_TYPE_RAID1C3 and C4 are in 2.06.
    incompat("raid1c34", 0x800, (5, 5), (2, 6)),
    // A disk with real zones, which a slot does not have, keeps its superblock elsewhere.
    incompat("zoned", 0x1000, (5, 12), EVER),
    // These two exist only in experimental kernels; files are elsewhere than where GRUB looks.
    incompat("extent-tree-v2", 0x2000, NEVER, NEVER),
    incompat("raid-stripe-tree", 0x4000, NEVER, NEVER),
    incompat("squota", 0x1_0000, (6, 7), EVER),
];

/// The checksums of btrfs by number (`enum btrfs_csum_type`, include/uapi/linux/btrfs_tree.h). GRUB verifies
/// none of them.
pub const BTRFS_CHECKSUMS: [Feature; 4] = [
    incompat("crc32c", 0, EVER, EVER),
    incompat("xxhash64", 1, (5, 5), EVER),
    incompat("sha256", 2, (5, 5), EVER),
    incompat("blake2b", 3, (5, 5), EVER),
];
