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
