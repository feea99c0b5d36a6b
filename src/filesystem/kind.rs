//! The filesystems that a slot can have, and the interface through which they are made, checked and mounted.
//! The details of each are in a file of its own.

use crate::error::{Result, usage};
use crate::filesystem::feature_table::{Feature, Version};
use crate::filesystem::{btrfs, ext4, xfs};
use crate::mount::vacant::Ground;
use crate::words::units::Bytes;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::ffi::CStr;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use uuid::Uuid;

/// The root filesystem of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filesystem {
    /// ext4: small slots too, and read by everything
    #[default]
    Ext4,
    /// XFS: reflinks and many files; slots of 300 MiB or more
    Xfs,
    /// btrfs: checksums of all files, snapshots; slots of 109 MiB or more
    Btrfs,
}

/// Properties and operations of one filesystem.
pub struct Kind {
    /// Name for mount(2), for `rootfstype=`, for dracut, and of its kernel module.
    pub name: &'static str,
    /// Options of mount(2) for writing a new filesystem.
    pub to_write: &'static CStr,
    /// Options of mount(2), besides read-only, with which it reads what GRUB reads: nothing that is still in
    /// the journal only.
    pub as_grub_reads: &'static CStr,
    /// Programs that make and check the filesystem, each with the package that has it.
    pub programs: &'static [(&'static str, &'static str)],
    /// Kernel modules that an initramfs needs besides [`Kind::name`], where a kernel has them.
    pub helpers: &'static [&'static str],
    /// Set if the module must be loaded before an initramfs looks for disks.
    pub early: bool,
    /// Smallest partition that the filesystem can be made in.
    pub smallest: Bytes,
    /// Implements [`Filesystem::refuse_words`].
    pub(super) refuse_words: fn(&MkfsOptions) -> Result<()>,
    /// Implements [`Filesystem::format`].
    pub(super) format: fn(&Path, &New) -> Result<()>,
    /// Implements [`Filesystem::check`].
    pub(super) check: fn(&Path) -> Result<()>,
}

/// An empty filesystem to be made.
#[derive(Debug)]
pub struct New<'n> {
    /// Label of at most 12 bytes, which is the limit of XFS (ext4: 16).
    pub label: &'n str,
    /// UUID of the new filesystem.
    pub uuid: Uuid,
    /// Content of the device before.
    pub ground: Ground,
    /// Options of the user for the program that makes it.
    pub options: &'n MkfsOptions,
    /// Time that counts as the present, in seconds since 1970; the clock's if there is none.
    pub epoch: Option<u64>,
    /// Version of the kernel that must mount it; if there is none, any of 4.9 or newer.
    pub kernel: Option<Version>,
}

impl New<'_> {
    /// Returns whether the kernel that must mount it knows the feature called `name`. Features that are not
    /// in `table` count as known.
    pub(super) fn may_have(&self, table: &[Feature], name: &str) -> bool {
        let since = table.iter().filter(|feature| feature.name == name).map(|feature| feature.linux).max();
        self.kernel.is_none_or(|kernel| since.is_none_or(|since| since <= kernel))
    }
}

impl Filesystem {
    /// Returns the properties and operations of this filesystem.
    pub fn kind(self) -> &'static Kind {
        match self {
            Filesystem::Ext4 => &ext4::KIND,
            Filesystem::Xfs => &xfs::KIND,
            Filesystem::Btrfs => &btrfs::KIND,
        }
    }

    /// Returns the kernel modules that a root on it needs: its own first, then others that a kernel may have.
    pub fn modules(self) -> Vec<&'static str> {
        let kind = self.kind();
        std::iter::once(kind.name).chain(kind.helpers.iter().copied()).collect()
    }

    /// Refuses options of the user that reach beyond the filesystem on the slot's device, as far as the
    /// program that makes it does not refuse them itself before it writes.
    pub fn refuse_words(self, options: &MkfsOptions) -> Result<()> {
        (self.kind().refuse_words)(options)
    }

    /// Makes a new filesystem over all of `device`, whatever is there.
    pub fn format(self, device: &Path, new: &New) -> Result<()> {
        self.refuse_words(new.options)?;
        (self.kind().format)(device, new)
    }

    /// Runs the checker on the filesystem on `device`, which is not mounted; fails if it finds anything
    /// wrong. Changes nothing.
    pub fn check(self, device: &Path) -> Result<()> {
        (self.kind().check)(device)
    }
}

impl FromStr for Filesystem {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Filesystem> {
        <Filesystem as ValueEnum>::from_str(text, false).map_err(|_| {
            let known = Filesystem::value_variants().iter().map(ToString::to_string).collect::<Vec<_>>();
            usage(
                format!("--filesystem '{}' is not a filesystem that a slot can have", text.escape_debug()),
                format!("name one of these: {}", known.join(", ")),
            )
        })
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().name)
    }
}

/// Options that the user adds to the command line of the program that makes a filesystem (`--mkfs-options`).
/// No shell interprets them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MkfsOptions(Vec<String>);

impl FromStr for MkfsOptions {
    type Err = anyhow::Error;

    /// Splits at white space. Refuses text that does not begin with an option, which would be taken for the
    /// device; and any path: a slot is its partition alone, with no journal on another device and no file of
    /// this machine in it.
    fn from_str(text: &str) -> Result<MkfsOptions> {
        let words: Vec<String> = text.split_whitespace().map(ToOwned::to_owned).collect();
        if let Some(first) = words.first().filter(|first| !first.starts_with('-')) {
            let found = format!("--mkfs-options begins with '{}', which is not an option", first.escape_debug());
            return Err(usage(found, "write them as on mkfs's command line: --mkfs-options '-i size=1024'"));
        }
        if let Some(path) = words.iter().find(|word| word.contains('/') || *word == "--") {
            let found = format!(
                "--mkfs-options contains '{}': a slot's filesystem is made in its own partition, from nothing else",
                path.escape_debug()
            );
            return Err(usage(found, "omit it"));
        }
        Ok(MkfsOptions(words))
    }
}

impl MkfsOptions {
    /// Returns whether there are no options.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the words in their order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Splits off the options `taken`, each a `-` and a letter. Returns the other words in their order, and
    /// each option taken with its value: `-O a,b` and `-Oa,b` alike.
    pub fn without<'o>(&'o self, taken: &[&str]) -> (Vec<&'o str>, Vec<(&'o str, &'o str)>) {
        let (mut rest, mut given) = (Vec::new(), Vec::new());
        let mut words = self.words();
        while let Some(word) = words.next() {
            match word.split_at_checked(2) {
                Some((option, "")) if taken.contains(&option) => given.push((option, words.next().unwrap_or_default())),
                Some((option, value)) if taken.contains(&option) => given.push((option, value)),
                _ => rest.push(word),
            }
        }
        (rest, given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_for_flags_records_and_mounts() {
        for filesystem in Filesystem::value_variants() {
            let name = filesystem.to_string();
            assert_eq!(serde_json::to_string(filesystem).unwrap(), format!("\"{name}\""));
            assert_eq!(name.parse::<Filesystem>().unwrap(), *filesystem, "{name}");
        }
    }

    #[test]
    fn words_that_name_another_place_than_the_slot_are_refused() {
        for odd in ["/dev/sda", "reflink=0", "-d name=/dev/sda", "-K /dev/sda", "-J device=/dev/sdb", "-K -- x"] {
            let error = odd.parse::<MkfsOptions>().unwrap_err();
            assert_eq!(crate::error::kind(&error), crate::error::Kind::Usage, "{odd}");
        }
        assert_eq!("".parse::<MkfsOptions>().unwrap(), MkfsOptions::default());
    }

    #[test]
    fn an_option_is_taken_out_with_its_value_however_it_is_written() {
        let options: MkfsOptions = " -i  nrext64=1 -Ka -mbigtime=1 -d agcount=8 -i".parse().unwrap();
        let (rest, given) = options.without(&["-i", "-m"]);
        assert_eq!(rest, ["-Ka", "-d", "agcount=8"]);
        assert_eq!(given, [("-i", "nrext64=1"), ("-m", "bigtime=1"), ("-i", "")]);
    }
}
