//! `image.json`: the description of an image in the folder (docs/netboot.md).

use crate::boot::root_on::{LiveFormat, least_memory};
use crate::error::{Result, failed};
use crate::oci::Image;
use crate::publish::written_file::WrittenFile;
use crate::root::packed::Compression;
use crate::words::digest::Digest;
use crate::words::kernel_line::KEYS_KEY;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// Returns the memory in bytes with which the kernel unpacks an initramfs. It is there compressed, which for modules is a
/// fourth at best, and unpacked; a root in it is there twice.
fn to_unpack(about: &About) -> u64 {
    let size_of = |name: &str| about.files.iter().find(|file| file.name() == name).map_or(0, WrittenFile::size);
    let embedded = about.root.as_ref().filter(|root| size_of(root.name()) == 0).map_or(0, WrittenFile::size);
    let own = size_of(INITRD).saturating_sub(embedded).saturating_mul(5);
    least_memory(embedded.saturating_mul(2).saturating_add(own)).saturating_sub(TO_RUN)
}

/// Part of [`BESIDE`] that a system takes, in bytes, which does not run yet while an initramfs is unpacked.
const TO_RUN: u64 = 128 << 20;

/// File name of the description.
pub const DESCRIPTION: &str = "image.json";
/// File name of the kernel.
pub const KERNEL: &str = "vmlinuz";
/// File name of the initramfs.
pub const INITRD: &str = "initrd";

/// The description of an image in the folder; `version` is that of this form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    version: u32,
    flipslot: String,
    /// Reference of the image, as it was named.
    pub reference: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Name of its system.
    pub os: String,
    /// Version of its kernel.
    pub kernel: String,
    /// Command line of the kernel.
    pub cmdline: String,
    /// Format of the root.
    pub format: LiveFormat,
    /// Compression of the root; `None` for layers, which have one each.
    pub compression: Option<Compression>,
    /// Memory in bytes with which a machine comes up.
    pub least_memory: u64,
    /// The root as one file, which the initramfs fetches, or holds; `None` for one in a registry.
    pub root: Option<WrittenFile>,
    /// Files beside this one.
    pub files: Vec<WrittenFile>,
}

/// Facts about what was written.
pub struct About {
    /// Name of the system.
    pub title: String,
    /// Version of the kernel.
    pub kernel: String,
    /// Command line of the kernel.
    pub words: String,
    /// Format of the root, and its compression.
    pub format: (LiveFormat, Option<Compression>),
    /// The root as one file, if it is one.
    pub root: Option<WrittenFile>,
    /// Memory in bytes that the root takes.
    pub memory: u64,
    /// Files beside the description.
    pub files: Vec<WrittenFile>,
}

impl Described {
    /// Gathers what is known of an image.
    pub fn new(image: &Image, about: About) -> Described {
        let least_memory = least_memory(about.memory).max(to_unpack(&about));
        Described {
            version: 1,
            flipslot: env!("CARGO_PKG_VERSION").to_owned(),
            reference: image.reference.to_string(),
            digest: image.digest.clone(),
            os: about.title,
            kernel: about.kernel,
            cmdline: about.words,
            format: about.format.0,
            compression: about.format.1,
            least_memory,
            root: about.root,
            files: about.files,
        }
    }

    /// Returns true if machines boot what a tag names, signed by a key, and not this image alone.
    pub fn follows_tag(&self) -> bool {
        self.cmdline.split(' ').any(|word| word.starts_with(KEYS_KEY))
    }

    /// Returns the digest of the root, as `root=` names it.
    pub fn root_digest(&self) -> &Digest {
        self.root.as_ref().map_or(&self.digest, WrittenFile::digest)
    }

    /// Reads the description in the folder of an image; `None` if there is none.
    pub fn read(folder: &Path) -> Result<Option<Described>> {
        let path = folder.join(DESCRIPTION);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("reading {}", path.display()))?,
        };
        let described: Described = serde_json::from_slice(&text).map_err(|error| {
            failed(format!("{} is damaged: {error}", path.display()), "remove its folder, and run the command again")
        })?;
        Ok(Some(described))
    }
}
