//! Reads from its superblock alone which filesystem a partition has, and with which features; says whether a
//! kernel or GRUB can read it. Mounts nothing, and accepts any bytes.

use crate::error::Result;
use crate::filesystem::backports::reads_as;
use crate::filesystem::feature_table::{Has, KernelOption, Version};
use crate::filesystem::kind::{BY_SUPERBLOCK, Filesystem};
use anyhow::Context;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use uuid::Uuid;

/// Features of a filesystem, as read from its superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// The filesystem that has them; ext2 and ext3 count as ext4 that lacks some.
    pub of: Filesystem,
    /// UUID of the filesystem.
    pub uuid: Uuid,
    found: Vec<Has>,
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
        let needed = BY_SUPERBLOCK.map(|filesystem| filesystem.kind().superblock_end).into_iter().max().unwrap_or(0);
        let mut bytes = vec![0; needed];
        let mut length = 0;
        while length < needed {
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
    /// the version cannot be read. Of the features that distributions put into older kernels, those are known that
    /// `backports` lists.
    pub fn too_new_for_kernel(&self, kernel_version: &str) -> Vec<&str> {
        let Some(kernel) = reads_as(kernel_version, self.of.kind().name) else { return Vec::new() };
        self.which(|has| has.linux > kernel)
    }

    /// Returns the features for which GRUB of this version, as it was released, says "unknown filesystem".
    pub fn unread_by_grub(&self, grub: Version) -> Vec<&str> {
        self.which(|has| has.grub > grub)
    }

    /// Returns the features that a kernel mounts only with an option of its configuration, each with that option.
    pub fn behind_options(&self) -> impl Iterator<Item = (&str, KernelOption)> {
        self.found.iter().filter_map(|has| Some((has.name.as_str(), has.option?)))
    }

    fn which(&self, wanted: impl Fn(&Has) -> bool) -> Vec<&str> {
        self.found.iter().filter(|has| wanted(has)).map(|has| has.name.as_str()).collect()
    }
}

/// Reads the features from the beginning of a filesystem.
fn parse(bytes: &[u8]) -> Option<Features> {
    BY_SUPERBLOCK.into_iter().find_map(|of| {
        let superblock = (of.kind().read_superblock)(bytes)?;
        Some(Features { of, uuid: superblock.uuid, found: superblock.features })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::feature_table::version;

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
        let of_centos_7 = ["reflink", "inobtcount", "bigtime", "nrext64"];
        assert_eq!(large.too_new_for_kernel("3.10.0-1160.el7.x86_64"), of_centos_7);
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
        for bytes in [&b""[..], b"XFSB", &[0; 1024], &[0xff; 1500], &vec![0; 0x1_0100]] {
            assert_eq!(parse(bytes), None, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn the_words_of_btrfs_have_64_bits_and_its_checksum_counts() {
        let mut bytes = vec![0; 0x1_00c6];
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
