//! A partition table for people and other programs.

use crate::words::region::TableKind;
use serde::Serialize;

/// A table as other programs describe it: what `sgdisk --print` and `--info` show, or `sfdisk --json`.
#[derive(Debug, Serialize)]
pub struct Described {
    /// Kind of partition table.
    pub kind: TableKind,
    /// Size of a logical sector in bytes.
    pub sector: u64,
    /// The disk's GUID; for an MBR its signature, eight hexadecimal digits.
    pub guid: String,
    /// Partitions, by number.
    pub partitions: Vec<DescribedPartition>,
}

/// A partition of a [`Described`] table.
#[derive(Debug, Serialize)]
pub struct DescribedPartition {
    /// Number in the table.
    pub number: u32,
    /// Name; empty in an MBR.
    pub name: String,
    /// Offset of the first byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
    /// Partition type: a GUID; in an MBR two hexadecimal digits.
    pub r#type: String,
    /// PARTUUID, as in Linux.
    pub guid: String,
}
