//! A disk's definition as a TOML file, in the words of the flags of `create`.

use crate::boot::initramfs_source::Source;
use crate::boot::root_on::Keeps;
use crate::cli::{ImageArgs, RootFormat};
use crate::error::{Result, refused, usage};
use crate::filesystem::kind::Filesystem;
use crate::hardware::Choice;
use crate::words::region::TableKind;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The keys of the file; every key is optional, and a flag overrides it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// `--size`: of the disk file.
    pub size: Option<String>,
    /// `--slots`: the number of slots.
    pub slots: Option<u32>,
    /// `--table`: the kind of partition table.
    pub table: Option<TableKind>,
    /// `--sector-size`: bytes of a sector of the disk file.
    pub sector_size: Option<u64>,
    /// `--slot-size`: one size for all slots, or by slot.
    pub slot_size: Option<BySlot<String>>,
    /// `--data`: make a data partition of the rest.
    pub data: Option<bool>,
    /// `--sidecars`: write them beside the disk file.
    pub sidecars: Option<bool>,
    /// `--filesystem`: one for all slots, or by slot.
    pub filesystem: Option<BySlot<Filesystem>>,
    /// `--mkfs-options`: words for the program that makes the filesystem.
    pub mkfs_options: Option<String>,
    /// `--root`: the form of the root.
    pub root: Option<RootFormat>,
    /// `--overlay`: the place of what is written over a root that is one file.
    pub overlay: Option<Keeps>,
    /// `--hardware`: the machine to boot on.
    pub hardware: Option<Choice>,
    /// `--initramfs`: the source of the initramfs.
    pub initramfs: Option<Source>,
    /// `--fix`, once or several times: rules with findings to fix.
    pub fix: Option<Vec<String>>,
    /// `--allow`, once or several times: rules with findings to accept.
    pub allow: Option<Vec<String>>,
    /// `--kargs`: words for the kernel command line.
    pub kargs: Option<String>,
    /// `--console`, once or several times: consoles to log to.
    pub console: Option<Vec<String>>,
    /// `--arch`: the architecture to choose from an index.
    pub arch: Option<String>,
    /// `--plain-http`, once or several times: registries to reach without TLS.
    pub plain_http: Option<Vec<String>>,
    /// `--auth-realm`, once or several times: token services to which credentials may be sent.
    pub auth_realm: Option<Vec<String>>,
    /// `--registry-ca`, once or several times: certificate authorities of registries.
    pub registry_ca: Option<Vec<PathBuf>>,
    /// `--authfile`: the file of registry credentials.
    pub authfile: Option<PathBuf>,
    /// `--cache`: the folder that keeps what was fetched.
    pub cache: Option<PathBuf>,
    /// `--no-cache`: keep nothing.
    pub no_cache: Option<bool>,
    /// `--verify-key`, once or several times: public keys that images must be signed with.
    pub verify_key: Option<Vec<PathBuf>>,
    /// `--policy`: the policy for signatures.
    pub policy: Option<PathBuf>,
    /// `--keep`, once or several times: files to carry over.
    pub keep: Option<Vec<String>>,
    /// `--slot`: an image reference by slot.
    #[serde(default)]
    pub slot: BTreeMap<String, String>,
    /// `--kernel`: one version for all slots, or by slot.
    pub kernel: Option<BySlot<String>>,
}

/// A value for every slot, or a table of values by slot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "it is neither a value that its flag takes, nor a table of such values by slot")]
pub enum BySlot<T> {
    /// One value for every slot.
    All(T),
    /// A value for each slot that is named.
    Each(BTreeMap<String, T>),
}

impl<T> BySlot<T> {
    /// Returns the values with the slot of each; a value for every slot comes with `None`.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, &T)> {
        let (all, each) = match self {
            BySlot::All(value) => (Some((None, value)), None),
            BySlot::Each(values) => (None, Some(values)),
        };
        all.into_iter().chain(each.into_iter().flatten().map(|(slot, value)| (Some(slot.as_str()), value)))
    }
}

impl Config {
    /// Reads the config file that the flags name; without one, every key is unset.
    pub fn of(args: &ImageArgs) -> Result<Config> {
        Ok(args.config.as_deref().map(Config::read).transpose()?.unwrap_or_default())
    }

    /// Reads the file; an unknown key is an error that shows its line.
    pub fn read(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            refused(
                format!("cannot read the config {}: {error}", path.display()),
                "name a file that exists: --config FILE",
            )
        })?;
        parse(&text).map_err(|error| {
            usage(
                format!("{}: {error}", path.display()),
                "the keys are those flags of `flipslot create` that say how a disk is made, and `keep`",
            )
        })
    }
}

fn parse(text: &str) -> std::result::Result<Config, toml::de::Error> {
    toml::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_the_flags() {
        let text = "size = '8GiB'\nslot-size = '3GiB'\ndata = true\nhardware = 'qemu'\nfilesystem = 'xfs'\nmkfs-options = '-K'\nconsole = ['ttyS0']\n[slot]\na = 'docker://h/r:1'\n";
        let config = parse(text).unwrap();
        assert_eq!((config.hardware, config.filesystem), (Some(Choice::Qemu), Some(BySlot::All(Filesystem::Xfs))));
        assert_eq!(config.slot["a"], "docker://h/r:1");
    }

    #[test]
    fn a_filesystem_is_one_for_all_slots_or_one_for_each() {
        let table = parse("filesystem = { a = 'xfs', b = 'btrfs' }\n").unwrap().filesystem;
        let each = [("a", Filesystem::Xfs), ("b", Filesystem::Btrfs)].map(|(slot, it)| (slot.to_owned(), it));
        assert_eq!(table, Some(BySlot::Each(each.into())));
        for odd in ["filesystem = 'ntfs'", "filesystem = { a = 'ntfs' }", "filesystem = 1"] {
            let text = parse(odd).unwrap_err().to_string();
            assert!(text.contains("line 1") && text.contains("neither a value that its flag takes"), "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_line() {
        let text = parse("size = '8GiB'\nslotsize = '3GiB'\n").unwrap_err().to_string();
        assert!(text.contains("line 2") && text.contains("slotsize"), "{text}");
    }
}
