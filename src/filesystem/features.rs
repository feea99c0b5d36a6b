//! Reads from its superblock alone which filesystem a partition has, and with which features; says whether a
//! kernel or GRUB can read it. Mounts nothing, and accepts any bytes.

use crate::error::Result;
use crate::filesystem::feature_table::{
    BTRFS, BTRFS_CHECKSUMS, EVER, EXT4, Feature, NEVER, Set, V4, V4_CI, V5, Version, XFS,
};
use crate::filesystem::kind::Filesystem;
use anyhow::Context;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use uuid::Uuid;

/// Number of bytes to read: up to the last field of btrfs' superblock that is used.
const LENGTH: usize = BTRFS_PLACE + 0xc6;
/// Offset of btrfs' superblock, in bytes (fs/btrfs/fs.h, BTRFS_SUPER_INFO_OFFSET).
const BTRFS_PLACE: usize = 0x1_0000;

/// The features of a filesystem, as read from its superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// The filesystem that has them; ext2 and ext3 count as ext4 that lacks some.
    pub of: Filesystem,
    /// UUID of the filesystem.
    pub uuid: Uuid,
    found: Vec<Has>,
}

/// A feature that is present, with the first versions that read it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Has {
    name: String,
    linux: Version,
    grub: Version,
}

impl Features {
    /// Reads the features of the filesystem on a device, or in a file that holds nothing else; returns `None`
    /// if it is not a known filesystem.
    pub fn read(path: &Path) -> Result<Option<Features>> {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        Features::of_file(&file, 0).with_context(|| format!("reading the superblock on {}", path.display()))
    }

    /// Like [`Features::read`], but for the filesystem that begins at byte `start` of an open file.
    pub fn of_file(file: &File, start: u64) -> Result<Option<Features>> {
        let mut bytes = vec![0; LENGTH];
        let mut length = 0;
        while length < LENGTH {
            match file.read_at(&mut bytes[length..], start.checked_add(length as u64).context("offset too large")?)? {
                0 => break,
                more => length += more,
            }
        }
        Ok(parse(&bytes[..length]))
    }

    /// Returns the names of the features, in the order of the superblock.
    pub fn names(&self) -> Vec<&str> {
        self.which(|_| true)
    }

    /// Returns the features with which a kernel of this version (`uname -r`: "5.10.0-32-amd64") does not
    /// mount the filesystem for writing. A bit that is not in the tables always counts, but nothing does if
    /// the version cannot be read. Distributions put features into older kernels; the answer is true of the
    /// kernel of that version as it was released.
    pub fn too_new_for_kernel(&self, kernel_version: &str) -> Vec<&str> {
        let Some(kernel) = version(kernel_version) else { return Vec::new() };
        self.which(|has| has.linux > kernel)
    }

    /// Returns the features for which GRUB of this version, as it was released, says "unknown filesystem".
    pub fn unread_by_grub(&self, grub: Version) -> Vec<&str> {
        self.which(|has| has.grub > grub)
    }

    fn which(&self, wanted: impl Fn(&Has) -> bool) -> Vec<&str> {
        self.found.iter().filter(|has| wanted(has)).map(|has| has.name.as_str()).collect()
    }
}

/// Parses the first two numbers of a version: (6, 1) of "6.1.0-49-amd64", (2, 6) of "2.06-13+deb12u2".
pub fn version(text: &str) -> Option<Version> {
    let (major, rest) = text.split_once('.')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest[..digits].parse().ok()?))
}

/// Reads the features from the beginning of a filesystem. ext4 leaves its first KiB alone, XFS begins at byte
/// 0, and their programs clear each other's magic: XFS is tried first, because what it overwrites could still
/// look like ext4.
fn parse(bytes: &[u8]) -> Option<Features> {
    // sb_uuid, fsid, s_uuid in the structures below.
    let (of, found, uuid) = if bytes.starts_with(b"XFSB") {
        (Filesystem::Xfs, xfs(bytes)?, 32)
    } else if let Some(found) = btrfs(bytes) {
        (Filesystem::Btrfs, found, BTRFS_PLACE + 0x20)
    } else {
        (Filesystem::Ext4, ext4(bytes)?, 1024 + 0x68)
    };
    let uuid = Uuid::from_slice(bytes.get(uuid..uuid + 16)?).ok()?;
    Some(Features { of, uuid, found })
}

/// Reads `struct ext4_super_block` at byte 1024 (fs/ext4/ext4.h): s_magic at 0x38, s_feature_compat at 0x5c,
/// s_feature_incompat at 0x60, s_feature_ro_compat at 0x64, little-endian.
fn ext4(bytes: &[u8]) -> Option<Vec<Has>> {
    const MAGIC: u16 = 0xef53;
    let superblock = bytes.get(1024..2048)?;
    if u16::from_le_bytes(superblock[0x38..0x3a].try_into().ok()?) != MAGIC {
        return None;
    }
    let word = |at: usize| superblock[at..at + 4].try_into().map(u32::from_le_bytes).map(u64::from).ok();
    Some(in_words(&EXT4, word(0x5c)?, word(0x64)?, word(0x60)?))
}

/// Reads `struct xfs_dsb` at byte 0 (fs/xfs/libxfs/xfs_format.h): sb_versionnum at 100, sb_features_compat at
/// 208, sb_features_ro_compat at 212, sb_features_incompat at 216, big-endian.
fn xfs(bytes: &[u8]) -> Option<Vec<Has>> {
    /// Mask of the version number, XFS_SB_VERSION_NUMBITS.
    const NUMBER: u16 = 0xf;
    let bits = bytes.get(100..102)?.try_into().map(u16::from_be_bytes).ok()?;
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().map(u32::from_be_bytes).map(u64::from).ok();
    let is_ci = u64::from(bits) & V4_CI.bit != 0;
    match bits & NUMBER {
        5 => {
            let words = in_words(&XFS, word(208)?, word(212)?, word(216)?);
            Some([vec![Has::new(&V5)], words].concat())
        }
        4 if is_ci => Some(vec![Has::new(&V4), Has::new(&V4_CI)]),
        4 => Some(vec![Has::new(&V4)]),
        other => Some(vec![Has { name: format!("version {other}"), linux: NEVER, grub: NEVER }]),
    }
}

/// Reads `struct btrfs_super_block` at 64 KiB (include/uapi/linux/btrfs_tree.h): magic at 0x40, compat_flags
/// at 0xac, compat_ro_flags at 0xb4, incompat_flags at 0xbc, csum_type at 0xc4, little-endian.
fn btrfs(bytes: &[u8]) -> Option<Vec<Has>> {
    /// Magic number, BTRFS_MAGIC (fs/btrfs/fs.h).
    const MAGIC: &[u8] = b"_BHRfS_M";
    let superblock = bytes.get(BTRFS_PLACE..LENGTH)?;
    if &superblock[0x40..0x48] != MAGIC {
        return None;
    }
    let word = |at: usize| superblock[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let mut found = in_words(&BTRFS, word(0xac)?, word(0xb4)?, word(0xbc)?);
    let checksum = superblock[0xc4..0xc6].try_into().map(u16::from_le_bytes).ok()?;
    found.push(match BTRFS_CHECKSUMS.get(usize::from(checksum)) {
        Some(feature) => Has::new(feature),
        None => Has { name: format!("checksum {checksum}"), linux: NEVER, grub: EVER },
    });
    Some(found)
}

/// Returns the features whose bits are set in the three words, and every bit that is set but not known.
fn in_words(table: &[Feature], compat: u64, ro_compat: u64, incompat: u64) -> Vec<Has> {
    let mut found = Vec::new();
    for (set, name, word) in [
        (Set::Compat, "compat", compat),
        (Set::RoCompat, "ro_compat", ro_compat),
        (Set::Incompat, "incompat", incompat),
    ] {
        for bit in (0..u64::BITS).map(|place| 1 << place).filter(|bit| word & bit != 0) {
            found.push(match table.iter().find(|feature| feature.set == set && feature.bit == bit) {
                Some(feature) => Has::new(feature),
                None => Has {
                    name: format!("{name} {bit:#x}"),
                    linux: NEVER,
                    // GRUB only reads, and checks no other set.
                    grub: if set == Set::Incompat { NEVER } else { EVER },
                },
            });
        }
    }
    found
}

impl Has {
    fn new(feature: &Feature) -> Has {
        Has { name: feature.name.to_owned(), linux: feature.linux, grub: feature.grub }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A superblock of XFS with these words: versionnum, compat, ro_compat, incompat.
    fn xfs_with(version: u16, compat: u32, ro_compat: u32, incompat: u32) -> Features {
        let mut bytes = vec![0; 512];
        bytes[..4].copy_from_slice(b"XFSB");
        bytes[100..102].copy_from_slice(&version.to_be_bytes());
        for (at, word) in [(208, compat), (212, ro_compat), (216, incompat)] {
            bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        parse(&bytes).unwrap()
    }

    #[test]
    fn a_bit_that_nobody_knows_is_too_new_for_every_kernel() {
        let odd = xfs_with(0xb4a5, 0x8000_0000, 0x10, 0x1000_0001);
        assert_eq!(odd.too_new_for_kernel("99.1"), ["compat 0x80000000", "ro_compat 0x10", "incompat 0x10000000"]);
        assert_eq!(odd.unread_by_grub((99, 0)), ["incompat 0x10000000"], "GRUB looks at no other set");
        assert_eq!(xfs_with(0xb4a6, 0, 0, 0).too_new_for_kernel("99.1"), ["version 6"]);
    }

    #[test]
    fn a_feature_is_too_new_for_the_kernels_before_the_one_that_brought_it() {
        let large = xfs_with(0xb4a5, 0, 0xd, 0x2b);
        assert_eq!(large.names(), ["crc", "finobt", "reflink", "inobtcount", "ftype", "sparse", "bigtime", "nrext64"]);
        assert_eq!(large.too_new_for_kernel("4.19.0-26-amd64"), ["inobtcount", "bigtime", "nrext64"]);
        assert_eq!(large.too_new_for_kernel("5.10.0-32-amd64"), ["nrext64"]);
        assert_eq!(large.too_new_for_kernel("6.1"), Vec::<&str>::new());
        assert_eq!(large.unread_by_grub((2, 6)), ["nrext64"]);
        assert_eq!(large.unread_by_grub((2, 12)), Vec::<&str>::new());
    }

    #[test]
    fn a_version_that_is_none_is_too_old_for_nothing() {
        assert_eq!(version("6.12-rc1"), Some((6, 12)));
        assert_eq!(version("2.06-13+deb12u2"), Some((2, 6)));
        for odd in ["", "6", "six.one", "6.", "6.x", "99999999999.1"] {
            assert_eq!(version(odd), None, "{odd}");
            assert_eq!(xfs_with(0xb4a5, 0, 0, 0x8000).too_new_for_kernel(odd), Vec::<&str>::new(), "{odd}");
        }
    }

    #[test]
    fn what_is_no_filesystem_has_no_features_however_short_it_is() {
        for bytes in [&b""[..], b"XFSB", &[0; 1024], &[0xff; 1500], &vec![0; LENGTH]] {
            assert_eq!(parse(bytes), None, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn the_words_of_btrfs_have_64_bits_and_its_checksum_counts() {
        let mut bytes = vec![0; LENGTH];
        bytes[0x10040..0x10048].copy_from_slice(b"_BHRfS_M");
        let mut with = |at: usize, value: &[u8]| {
            bytes[0x10000 + at..0x10000 + at + value.len()].copy_from_slice(value);
            parse(&bytes).unwrap()
        };
        assert_eq!(with(0, &[]).of, Filesystem::Btrfs);
        assert_eq!(with(0xbc, &0x8000_0000_0000_0361_u64.to_le_bytes()).unread_by_grub((99, 0)).len(), 1);
        let found = with(0xb4, &0xb_u64.to_le_bytes());
        assert_eq!(found.too_new_for_kernel("5.10.0"), ["block-group-tree", "incompat 0x8000000000000000"]);
        assert_eq!(found.unread_by_grub((2, 6)), ["no-holes", "incompat 0x8000000000000000"]);
        assert_eq!(
            with(0xc4, &[2, 0]).too_new_for_kernel("5.4"),
            ["block-group-tree", "incompat 0x8000000000000000", "sha256"]
        );
        assert!(with(0xc4, &[9, 0]).too_new_for_kernel("6.16").contains(&"checksum 9"));
    }
}
