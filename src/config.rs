//! A disk's definition as a TOML file, the same words as the flags of `create`.

use crate::boot::initramfs::Source;
use crate::disk::layout::TableKind;
use crate::error::{Result, refused, usage};
use crate::filesystem::Filesystem;
use crate::hardware::Choice;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the file may say; every key is optional, and a flag overrides it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// `--size`.
    pub size: Option<String>,
    /// `--slots`.
    pub slots: Option<u32>,
    /// `--table`.
    pub table: Option<TableKind>,
    /// `--sector-size`.
    pub sector_size: Option<u64>,
    /// `--slot-size`: of every slot, or by slot.
    pub slot_size: Option<BySlot<String>>,
    /// `--data`.
    pub data: Option<bool>,
    /// `--sidecars`.
    pub sidecars: Option<bool>,
    /// `--filesystem`: one for all slots, or by slot.
    pub filesystem: Option<BySlot<Filesystem>>,
    /// `--mkfs-options`.
    pub mkfs_options: Option<String>,
    /// `--hardware`.
    pub hardware: Option<Choice>,
    /// `--initramfs`.
    pub initramfs: Option<Source>,
    /// `--fix`, once or several times.
    pub fix: Option<Vec<String>>,
    /// `--allow`, once or several times.
    pub allow: Option<Vec<String>>,
    /// `--kargs`.
    pub kargs: Option<String>,
    /// `--console`, once or several times.
    pub console: Option<Vec<String>>,
    /// `--arch`.
    pub arch: Option<String>,
    /// `--plain-http`, once or several times.
    pub plain_http: Option<Vec<String>>,
    /// `--registry-ca`, once or several times.
    pub registry_ca: Option<Vec<PathBuf>>,
    /// `--keep`, once or several times.
    pub keep: Option<Vec<String>>,
    /// `--slot`: reference by slot.
    #[serde(default)]
    pub slot: BTreeMap<String, String>,
    /// `--kernel`: one version for all slots, or by slot.
    pub kernel: Option<BySlot<String>>,
}

/// A value for every slot, or a table of values by slot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "it is no value that its flag takes, nor a table of such by slot")]
pub enum BySlot<T> {
    /// For every slot.
    All(T),
    /// For each that is named.
    Each(BTreeMap<String, T>),
}

impl<T> BySlot<T> {
    /// The values, with the slot of each; that for every slot has none.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, &T)> {
        let (all, each) = match self {
            BySlot::All(value) => (Some((None, value)), None),
            BySlot::Each(values) => (None, Some(values)),
        };
        all.into_iter().chain(each.into_iter().flatten().map(|(slot, value)| (Some(slot.as_str()), value)))
    }
}

impl Config {
    /// Reads the file; an unknown key is an error that shows its line.
    pub fn read(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            refused(
                format!("the config {} cannot be read: {error}", path.display()),
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
            assert!(text.contains("line 1") && text.contains("no value that its flag takes"), "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_line() {
        let text = parse("size = '8GiB'\nslotsize = '3GiB'\n").unwrap_err().to_string();
        assert!(text.contains("line 2") && text.contains("slotsize"), "{text}");
    }
}
