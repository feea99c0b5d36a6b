//! Rows of a filesystem's table of features: the first versions of Linux and GRUB that can read each. The tables
//! are in the filesystems' own files.
//!
//! Sources of all tables: for what a filesystem's manual does not list, the first release of Linux whose `*_SUPP`
//! or `*_ALL` mask has the bit. GRUB refuses only bits of the set "incompat" that it does not know. The versions
//! of GRUB are upstream's. Distributions put newer readers into older versions: Debian 12's 2.06-13+deb12u2 is 2.12
//! in both `grub-core/fs/ext2.c` and `grub-core/fs/xfs.c`.

/// A version by its first two numbers: (5, 10); GRUB 2.06 is (2, 6).
pub type Version = (u32, u32);

/// Parses the first two numbers of a version: (6, 1) of "6.1.0-49-amd64", (2, 6) of "2.06-13+deb12u2".
pub fn version(text: &str) -> Option<Version> {
    let (major, rest) = text.split_once('.')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest[..digits].parse().ok()?))
}

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
    /// Option without which a kernel does not mount it, whatever its version.
    pub option: Option<KernelOption>,
}

/// An option in the configuration of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelOption {
    /// Name, with `CONFIG_` in front.
    pub name: &'static str,
    /// First version that has the option; older kernels all do what it turns on.
    pub since: Version,
}

/// Builds a row of the set "compat"; GRUB does not look at it.
pub(super) const fn compat(name: &'static str, bit: u64, linux: Version) -> Feature {
    Feature { name, set: Set::Compat, bit, linux, grub: EVER, option: None }
}

/// Builds a row of the set "ro_compat"; GRUB does not look at it.
pub(super) const fn ro_compat(name: &'static str, bit: u64, linux: Version) -> Feature {
    Feature { name, set: Set::RoCompat, bit, linux, grub: EVER, option: None }
}

/// Builds a row of the set "incompat".
pub(super) const fn incompat(name: &'static str, bit: u64, linux: Version, grub: Version) -> Feature {
    Feature { name, set: Set::Incompat, bit, linux, grub, option: None }
}

/// A feature that a filesystem has, with the first versions that read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Has {
    pub name: String,
    pub linux: Version,
    pub grub: Version,
    pub option: Option<KernelOption>,
}

impl Has {
    /// Takes a feature from a table.
    pub fn known(feature: &Feature) -> Has {
        let Feature { name, linux, grub, option, .. } = *feature;
        Has { name: name.to_owned(), linux, grub, option }
    }

    /// Describes something that is in no table: no kernel can be relied on to mount it.
    pub fn unknown(name: String, grub: Version) -> Has {
        Has { name, linux: NEVER, grub, option: None }
    }
}

/// The three words of a superblock that have a bit for each feature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    pub compat: u64,
    pub ro_compat: u64,
    pub incompat: u64,
}

impl Words {
    /// Returns the features of `table` whose bits are set, and every bit that is set but not known.
    pub fn features(self, table: &[Feature]) -> Vec<Has> {
        let mut found = Vec::new();
        for (set, name, word) in [
            (Set::Compat, "compat", self.compat),
            (Set::RoCompat, "ro_compat", self.ro_compat),
            (Set::Incompat, "incompat", self.incompat),
        ] {
            for bit in (0..u64::BITS).map(|place| 1 << place).filter(|bit| word & bit != 0) {
                found.push(match table.iter().find(|feature| feature.set == set && feature.bit == bit) {
                    Some(feature) => Has::known(feature),
                    // GRUB only reads, and checks no other set.
                    None => Has::unknown(format!("{name} {bit:#x}"), if set == Set::Incompat { NEVER } else { EVER }),
                });
            }
        }
        found
    }
}
