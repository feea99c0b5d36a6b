//! `/run/flipslot/live.json`: the root of a machine that runs from an image in RAM, as its init has set it up. `flipslot
//! status` prints it.

use crate::error::Result;
use crate::init::overlay::SCRATCH;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fs;

/// Path of the file.
pub const PATH: &str = "/run/flipslot/live.json";
/// Folder with a folder for each part of the root that may be written: `root`, or `etc` and `var`. What was written is in
/// its `upper`.
pub const WRITTEN: &str = SCRATCH;

/// A root that is an image in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveFacts {
    /// Version of this form: 1.
    pub version: u32,
    /// Origin of the image, as `root=flipslot:` names it, without its digest.
    pub source: String,
    /// SHA-256 of its bytes, which were compared; `None` if none was named.
    pub digest: Option<String>,
    /// Set if the kernel compares each block as it is read (dm-verity), and not the digest at the start.
    #[serde(default)]
    pub by_blocks: bool,
    /// Its filesystem.
    pub format: String,
    /// Memory that its file takes, in bytes; 0 for one on a disk.
    pub memory: u64,
    /// Folder on a disk that keeps what is written; `None` for memory.
    #[serde(default)]
    pub written: Option<String>,
    /// SHA-256 of the layers of the host over it, the lowest first.
    #[serde(default)]
    pub host_layers: Vec<String>,
    /// Name that the machine was given; `None` for that of the image.
    pub host: Option<String>,
    /// Origin of that name.
    pub host_from: Option<HostFrom>,
}

/// Origins of the name of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostFrom {
    /// A layer of the host.
    HostLayer,
    /// `flipslot.host=`.
    CommandLine,
    /// The lease of the machine's address.
    Lease,
    /// The name servers of the network.
    NameServer,
}

impl LiveFacts {
    /// Writes the file.
    pub fn write(&self) -> Result<()> {
        fs::write(PATH, serde_json::to_string_pretty(self)? + "\n").with_context(|| format!("writing {PATH}"))
    }

    /// Reads the file; `None` if this system runs from something else.
    pub fn read() -> Result<Option<LiveFacts>> {
        match fs::read(PATH) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {PATH}")),
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("reading {PATH}")).map(Some),
        }
    }
}
