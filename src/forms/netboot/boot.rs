//! `host.json`: the description of what a host boots (docs/netboot.md).

use crate::init::host_layer::WORD;
use crate::publish::written_file::WrittenFile;
use crate::words::digest::Digest;
use crate::words::kernel_line::HOST_KEY;
use serde::{Deserialize, Serialize};

/// Folder of the layers.
pub const LAYERS: &str = "layers";
/// The description of what a host boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    version: u32,
    /// Name of the host.
    pub host: String,
    /// Folder of its image.
    pub image: String,
    /// Name of that image; `None` if it was published by a version that did not note it.
    #[serde(default)]
    pub name: Option<String>,
    /// Layer of the host over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<HostLayer>,
    /// Command line of its kernel.
    pub cmdline: String,
}

impl Boot {
    /// A boot of an image, by its name and its folder.
    pub fn new(host: &str, (name, image): (&str, &str), cmdline: &str) -> Boot {
        let (host, image, name) = (host.to_owned(), image.to_owned(), Some(name.to_owned()));
        Boot { version: 1, host, image, name, layer: None, cmdline: cmdline.to_owned() }
    }

    /// Returns the word that names the host: for flipslot's own initramfs, or, under dracut's, for systemd (systemd(1)).
    pub fn name_word(&self) -> String {
        let key = if self.cmdline.starts_with("root=live:") { "systemd.hostname=" } else { HOST_KEY };
        format!("{key}{}", self.host)
    }

    /// Returns true if it has a layer that machines fetch by https alone.
    pub fn is_secret(&self) -> bool {
        self.layer.is_some() && self.cmdline.contains(&format!("{WORD}https://"))
    }

    /// Adds a layer of the host, in the folder that machines reach at `url`.
    pub fn with_layer(self, layer: Option<HostLayer>, url: &str) -> Boot {
        let word = layer.as_ref().map(|layer| format!(" {}", layer.word(url))).unwrap_or_default();
        Boot { cmdline: self.cmdline + &word, layer, ..self }
    }
}

/// The layer of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLayer {
    /// Reference of the host's image, as it was named.
    pub reference: String,
    /// Digest of that image's manifest.
    pub image: Digest,
    /// Digest of the root that it lies over, as `root=` names it.
    pub base: Digest,
    /// The file, in the folder `layers`.
    pub file: WrittenFile,
}

impl HostLayer {
    /// Returns the word that names it, for a folder that machines reach at `url`.
    pub fn word(&self, url: &str) -> String {
        format!("{}{url}/{LAYERS}/{}@{}", WORD, self.file.name(), self.file.digest())
    }
}
