//! A partition in a plan, and what becomes of it.

use crate::words::region::Region;
use serde::{Deserialize, Serialize};

/// A partition, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPartition {
    pub(super) number: u32,
    pub(super) name: String,
    /// Offset of the first byte.
    pub(super) start: u64,
    /// Length in bytes.
    pub(super) size: u64,
    pub(super) fate: Fate,
    /// Filesystem that is made in the partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filesystem: Option<String>,
}

/// Fate of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The partition stays as it is, byte for byte.
    #[serde(rename = "kept")]
    Untouched,
    /// Files in the partition are rewritten in place.
    Changed,
    /// The previous contents are lost.
    Written,
    /// The partition exists afterwards, but its contents mean nothing.
    Empty,
}

impl PlannedPartition {
    /// Plans a partition at `region` in which no filesystem is made.
    pub fn new(region: Region, name: &str, fate: Fate) -> PlannedPartition {
        let Region { number, start, size } = region;
        PlannedPartition { number, name: name.to_owned(), start, size, fate, filesystem: None }
    }
}
