//! `host.json`: the description of what a host boots (docs/netboot.md).

use serde::{Deserialize, Serialize};

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
    /// Command line of its kernel.
    pub cmdline: String,
}

impl Boot {
    /// A boot of an image, by its name and its folder.
    pub fn new(host: &str, (name, image): (&str, &str), cmdline: &str) -> Boot {
        let (host, image, name) = (host.to_owned(), image.to_owned(), Some(name.to_owned()));
        Boot { version: 1, host, image, name, cmdline: cmdline.to_owned() }
    }
}
