//! What a slot holds, as it stands on the boot partition: `flipslot/slot-a.json`.

use crate::boot::entry::Entry;
use crate::boot::initramfs::MadeBy;
use crate::digest::Digest;
use crate::error::{Result, failed};
use crate::filesystem::Filesystem;
use serde::{Deserialize, Serialize};

/// Size of the file in bytes, the same for every slot and for ever: a flash rewrites it in place.
pub const SIZE: usize = 16 * 1024;

/// The record of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this form: 1.
    pub version: u32,
    /// What the user named.
    pub reference: String,
    /// What it was when it was written: digest of the manifest, or of a docker-archive's config.
    pub digest: Digest,
    /// How it boots.
    pub entry: Entry,
    /// The root filesystem's type.
    pub filesystem: Filesystem,
    /// The root filesystem's UUID.
    pub filesystem_uuid: String,
    /// What it was made for: `qemu`, `generic`, or what a machine calls itself.
    pub hardware: String,
    /// The kernel modules of its initramfs that this hardware and the root filesystem need.
    #[serde(default)]
    pub drivers: Vec<String>,
    /// Who made its initramfs; not known of slots that older versions wrote: dracut did.
    #[serde(default)]
    pub initramfs_by: MadeBy,
    /// What flipslot mended in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<Mended>,
    /// Rules that found something which was accepted (`--allow`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// Files that flipslot added to the image: its agent. None with `--no-agent`.
    #[serde(default)]
    pub agent: Vec<String>,
    /// Patterns of the files that are carried over from slot to slot; `None` where `create` wrote
    /// the slot, and nothing ran to carry from.
    #[serde(default)]
    pub keep: Option<Vec<String>>,
    /// When it was written: seconds since 1970.
    pub written: u64,
    /// Which flipslot wrote it.
    pub flipslot: String,
}

/// What was mended in a slot as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// The rule's id (docs/check.md).
    pub rule: String,
    /// What was done, a text for each place.
    pub done: Vec<String>,
    /// Words that the command line got.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}

impl Record {
    /// The user's own words on the command line: neither flipslot's, nor those of a mend.
    pub fn own_words(&self) -> String {
        let all = self.entry.cmdline.own_words();
        let is_mend = |word: &&str| self.mended.iter().any(|mended| mended.words.iter().any(|added| added == word));
        all.split_whitespace().filter(|word| !is_mend(word)).collect::<Vec<_>>().join(" ")
    }
}

/// The record in a file's bytes; `None` if there is none.
pub fn parse(bytes: &[u8]) -> Option<Record> {
    serde_json::from_slice(bytes).ok().filter(|record: &Record| record.version == 1)
}

/// The bytes of a slot's record, padded with spaces; all spaces for a slot that holds nothing.
pub fn render(record: Option<&Record>) -> Result<Vec<u8>> {
    let mut text = record.map(serde_json::to_string).transpose()?.unwrap_or_default().into_bytes();
    if text.len() > SIZE - 1 {
        return Err(failed(
            format!("the slot's record has {} bytes; {SIZE} are reserved", text.len()),
            "shorten --kargs, or the reference",
        ));
    }
    text.resize(SIZE - 1, b' ');
    text.push(b'\n');
    Ok(text)
}
