//! The record of a slot's contents on the boot partition: `flipslot/slot-a.json`.

use crate::boot::entry::{Entry, GrubEntry};
use crate::boot::initramfs_source::MadeBy;
use crate::boot::recorded::Recorded;
use crate::boot::root_on::{Keeps, LiveFormat};
use crate::error::{Result, failed, refused};
use crate::filesystem::kind::Filesystem;
use crate::words::digest::Digest;
use serde::{Deserialize, Serialize};

/// Size of the file in bytes, the same for every slot, which never changes: a flash rewrites it in place.
pub const SIZE: usize = 16 * 1024;

/// Contents of a slot: image, boot entry, and how it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this format: 1.
    pub version: u32,
    /// Image reference as the user gave it.
    pub reference: String,
    /// Digest of the image when it was written: of the manifest, or of a docker-archive's config.
    pub digest: Digest,
    /// Boot entry, and the slot's partition.
    #[serde(rename = "entry")]
    pub grub: GrubEntry,
    /// Type of the root filesystem.
    pub filesystem: Recorded<Filesystem>,
    /// UUID of the root filesystem.
    pub filesystem_uuid: String,
    /// Hardware for which it was made: `qemu`, `generic`, or the name that a machine reports for itself.
    pub hardware: String,
    /// Kernel modules that this hardware and the root filesystem need in its initramfs.
    #[serde(default)]
    pub drivers: Vec<String>,
    /// Origin of its initramfs; older versions did not record it: dracut made theirs.
    #[serde(default)]
    pub initramfs_by: Recorded<MadeBy>,
    /// Fixes that flipslot made in it (`--fix`).
    #[serde(flatten)]
    pub fixed: Fixes,
    /// Ids of rules with findings that were accepted (`--allow`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// Paths of the agent's files, which flipslot added to the image; empty with `--no-agent`.
    #[serde(default)]
    pub agent: Vec<String>,
    /// Patterns of the files that are carried over from slot to slot; `None` if `create` wrote the slot, which
    /// has no running slot to carry files over from.
    #[serde(default)]
    pub keep: Option<Vec<String>>,
    /// The root, if it is one file; `None` for a slot of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RootFile>,
    /// Time at which the image was made, in seconds since 1970, as its config says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// Names of the keys whose signatures were required and found; empty if none was required.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<String>,
    /// Time at which it was written, in seconds since 1970.
    pub written: u64,
    /// Version of the flipslot that wrote it.
    pub flipslot: String,
}

/// The root of a slot as one file, which is only read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RootFile {
    /// Filesystem in it.
    pub format: LiveFormat,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// Hash at the root of the tree beside it (dm-verity); `None` if there is no tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verity: Option<Digest>,
    /// Place of what is written over it.
    pub overlay: Keeps,
    /// Drivers of hardware watchdogs that the image has.
    pub watchdogs: Vec<String>,
}

/// A fix that was made in a slot when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixed {
    /// Id of the rule (docs/check.md).
    pub rule: String,
    /// Descriptions of the changes, one for each place.
    pub done: Vec<String>,
    /// Words that were added to the command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}

/// The fixes of a record or a result. JSON has them twice, as `fixed` and as `mended`, which flipslot 0.1 reads
/// and writes; either is read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "FixKeys", into = "FixKeys")]
pub struct Fixes(Vec<Fixed>);

#[derive(Serialize, Deserialize)]
struct FixKeys {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fixed: Vec<Fixed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mended: Vec<Fixed>,
}

impl From<FixKeys> for Fixes {
    fn from(keys: FixKeys) -> Fixes {
        Fixes(if keys.fixed.is_empty() { keys.mended } else { keys.fixed })
    }
}

impl From<Fixes> for FixKeys {
    fn from(Fixes(fixed): Fixes) -> FixKeys {
        FixKeys { mended: fixed.clone(), fixed }
    }
}

impl From<Vec<Fixed>> for Fixes {
    fn from(fixed: Vec<Fixed>) -> Fixes {
        Fixes(fixed)
    }
}

impl Fixes {
    /// Returns the fixes with each word that they added to the command line as `renew` makes it.
    pub fn with_words(&self, renew: impl Fn(&str) -> String) -> Fixes {
        let mut fixed = self.0.clone();
        fixed.iter_mut().flat_map(|fixed| &mut fixed.words).for_each(|word| *word = renew(word));
        Fixes(fixed)
    }

    /// Returns the fixes in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = &Fixed> {
        self.0.iter()
    }
}

impl Record {
    /// Returns the user's own words on the command line: neither flipslot's, nor those that a fix added.
    pub fn own_words(&self) -> String {
        let all = self.entry().cmdline.own_words();
        let is_fix = |word: &&str| self.fixed.iter().any(|fixed| fixed.words.iter().any(|added| added == word));
        all.split_whitespace().filter(|word| !is_fix(word)).collect::<Vec<_>>().join(" ")
    }

    /// Returns the boot entry.
    pub fn entry(&self) -> &Entry {
        &self.grub.entry
    }

    /// Returns the type of the root filesystem. Refuses one that only a later flipslot knows.
    pub fn filesystem(&self) -> Result<Filesystem> {
        self.filesystem.known().copied().ok_or_else(|| {
            refused(
                format!("the slot has a root on {}, which this flipslot does not know", self.filesystem),
                format!("use the flipslot that wrote it, or a later one: {}", self.flipslot),
            )
        })
    }
}

/// Reads the record in a file's bytes; `None` if they are not a record of version 1.
pub fn parse(bytes: &[u8]) -> Option<Record> {
    serde_json::from_slice(bytes).ok().filter(|record: &Record| record.version == 1)
}

/// Returns the bytes of a slot's record, padded with spaces; all spaces for a slot without an image. Fails if the
/// record is longer than [`SIZE`].
pub fn render(record: Option<&Record>) -> Result<Vec<u8>> {
    let mut text = record.map(serde_json::to_string).transpose()?.unwrap_or_default().into_bytes();
    if text.len() > SIZE - 1 {
        return Err(failed(
            format!("the slot's record has {} bytes, but its file only {SIZE}", text.len()),
            "shorten --kargs or the reference",
        ));
    }
    text.resize(SIZE - 1, b' ');
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of flipslot 0.1, with `changes` as key and JSON value.
    fn read(changes: &[(&str, &str)]) -> Option<Record> {
        let text = include_str!("../../tests/fixtures/disk-0.1/slot-a.json");
        let mut json: serde_json::Value = serde_json::from_str(text).unwrap();
        for (key, value) in changes {
            json[key] = serde_json::from_str(value).unwrap();
        }
        parse(&serde_json::to_vec(&json).unwrap())
    }

    #[test]
    fn what_a_later_flipslot_writes_is_read_as_such_and_not_as_damage() {
        let changes = [("filesystem", "\"squashfs\""), ("initramfs_by", "\"booster\""), ("of_tomorrow", "1")];
        let record = read(&changes).unwrap();
        assert_eq!(record.filesystem, Recorded::Unknown("squashfs".to_owned()));
        assert_eq!(record.initramfs_by.known(), None);
        let text = format!("{:#}", record.filesystem().unwrap_err());
        assert!(text.contains("a root on squashfs, which this flipslot does not know"), "{text}");
        assert_eq!(parse(&render(Some(&record)).unwrap()).unwrap(), record);
    }

    #[test]
    fn fixes_are_written_under_both_keys_and_read_from_either() {
        let fix = r#"[{"rule": "fstab", "done": ["/etc/fstab line 1 is commented out"]}]"#;
        for key in ["fixed", "mended"] {
            let record = read(&[(key, fix)]).unwrap();
            assert_eq!(record.fixed.iter().map(|fixed| fixed.rule.as_str()).collect::<Vec<_>>(), ["fstab"], "{key}");
            let written: serde_json::Value = serde_json::from_slice(&render(Some(&record)).unwrap()).unwrap();
            assert_eq!(written["fixed"], written["mended"], "{key}");
            assert_eq!(parse(&render(Some(&record)).unwrap()).unwrap(), record);
        }
        assert_eq!(read(&[]).unwrap().fixed, Fixes::default());
    }

    #[test]
    fn a_record_of_0_1_keeps_its_shape() {
        let record = read(&[]).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&render(Some(&record)).unwrap()).unwrap();
        let old: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/fixtures/disk-0.1/slot-a.json")).unwrap();
        assert_eq!(written, old);
    }
}
