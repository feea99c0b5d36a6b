//! Regions of a disk, and the partition tables that number them.

use crate::words::units::Bytes;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The partition tables that a disk can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// GPT: any size, a name for each partition
    #[default]
    Gpt,
    /// MBR: for firmware without GPT support; disks up to 2 TiB
    Mbr,
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TableKind::Gpt => "GPT",
            TableKind::Mbr => "MBR",
        })
    }
}

impl TableKind {
    /// Returns the prefix of GRUB's names for its partitions: `gpt2`, `msdos1`.
    pub fn in_grub(self) -> &'static str {
        match self {
            TableKind::Gpt => "gpt",
            TableKind::Mbr => "msdos",
        }
    }
}

/// The size of a disk and of its sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Size of the disk.
    pub size: Bytes,
    /// Size of a logical sector in bytes.
    pub sector: u64,
}

/// Bytes to be written to a disk in one piece, such as part of a partition table.
#[derive(Debug, Clone)]
pub struct Run {
    /// Offset of the first byte on the disk.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A run of bytes on a disk, with its number in the partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Partition number, from 1; 0 for a run of bytes that is not a partition.
    pub number: u32,
    /// Offset of the first byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
}
