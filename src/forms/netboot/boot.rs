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
    /// Command line of its kernel.
    pub cmdline: String,
}

impl Boot {
    /// A boot of the image in the folder of this name.
    pub fn new(host: &str, image: &str, cmdline: &str) -> Boot {
        Boot { version: 1, host: host.to_owned(), image: image.to_owned(), cmdline: cmdline.to_owned() }
    }
}
