//! The record of a slot's contents on the boot partition: `flipslot/slot-a.json`.

use crate::boot::entry::Entry;
use crate::error::{Result, failed};
use crate::filesystem::kind::Filesystem;
use crate::initramfs::source::MadeBy;
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
    /// Boot entry.
    pub entry: Entry,
    /// Type of the root filesystem.
    pub filesystem: Filesystem,
    /// UUID of the root filesystem.
    pub filesystem_uuid: String,
    /// Hardware for which it was made: `qemu`, `generic`, or the name that a machine reports for itself.
    pub hardware: String,
    /// Kernel modules that this hardware and the root filesystem need in its initramfs.
    #[serde(default)]
    pub drivers: Vec<String>,
    /// Origin of its initramfs; older versions did not record it: dracut made theirs.
    #[serde(default)]
    pub initramfs_by: MadeBy,
    /// Fixes that flipslot made in it (`--fix`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<Mended>,
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
    /// Time at which it was written, in seconds since 1970.
    pub written: u64,
    /// Version of the flipslot that wrote it.
    pub flipslot: String,
}

/// A fix that was made in a slot when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// Id of the rule (docs/check.md).
    pub rule: String,
    /// Descriptions of the changes, one for each place.
    pub done: Vec<String>,
    /// Words that were added to the command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}

impl Record {
    /// Returns the user's own words on the command line: neither flipslot's, nor those that a fix added.
    pub fn own_words(&self) -> String {
        let all = self.entry.cmdline.own_words();
        let is_mend = |word: &&str| self.mended.iter().any(|mended| mended.words.iter().any(|added| added == word));
        all.split_whitespace().filter(|word| !is_mend(word)).collect::<Vec<_>>().join(" ")
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
