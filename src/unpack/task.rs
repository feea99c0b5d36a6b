//! The orders to the unpacking process.

use crate::layer::Budget;
use crate::layer::stream::Compression;
use crate::words::digest::Digest;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The place of the slot, and the limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Path at which the slot is mounted.
    pub place: PathBuf,
    /// Empty directory, which becomes the process's root.
    pub hall: PathBuf,
    /// Amount that the layers may write.
    pub budget: Budget,
    /// Place that the process is started at.
    pub at: At,
}

/// Places that the process is started at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// A system: unshare(1) makes the namespaces.
    System,
    /// An initramfs, which has no other program, and whose root cannot be taken away (pivot_root(2)): the process enters
    /// namespaces by itself, but for one of processes.
    Initramfs,
}

/// A task, and what the process joins first. Both stand on the command line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Orders {
    /// The task.
    pub task: Task,
    /// The `cgroup.procs` to write to.
    pub cgroups: Vec<PathBuf>,
}

/// A layer to expect. The list of all comes first in the stream.
#[derive(Debug, Serialize, Deserialize)]
pub struct LayerTask {
    /// Name in messages.
    pub name: Digest,
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Compression of the blob.
    pub compression: Compression,
}
