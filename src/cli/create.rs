//! The flags of `create`.

use crate::cli::{ConsentArgs, ImageArgs, WriteArgs};
use crate::words::region::TableKind;
use clap::Args;
use std::path::{Path, PathBuf};

/// The text at the end of `create --help`.
pub const CREATE_HELP: &str = "\
References:
  docker://host/name:tag     a registry (also @sha256:…); a bare name means it
  oci:directory[:tag]        an OCI image layout
  oci-archive:file[:tag]     an OCI image layout in a tar file
  docker-archive:file[:name] an archive of `docker save`

A disk file is raw, unless its name ends in .qcow2, .vmdk or .vhdx (which need
qemu-img), or in .raw.zst. It appears at its path only when it is complete.
With SOURCE_DATE_EPOCH set, the same inputs give the same identifiers and
times.
A disk that is in use is refused. At a terminal, flipslot shows the disk and
what is on it, and asks you to type its name; see docs/disks.md.

Exit codes: 0 done, 1 failed, 2 usage error, 3 refused, nothing written.

Example:
  flipslot create golden.raw --size 8GiB --console ttyS0 \\
      --slot a=docker://127.0.0.1:5000/os/debian:12 --slot b=docker-archive:debian.tar";

/// The flags of `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Disk file to make (its name says the format: see below), or block
    /// device to overwrite
    #[arg(required_unless_present = "plan")]
    pub disk: Option<PathBuf>,

    /// Carry out this plan, the JSON of a dry run, if disk and images have not
    /// changed since (docs/plan.md)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["disk", "slot", "size", "slots", "keep_data", "dry_run", "yes", "config"])]
    pub plan: Option<PathBuf>,

    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Size of the disk file: 8GiB, 4000MiB, …
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,

    /// Image to write into a slot, as LETTER=REFERENCE; once for each slot
    #[arg(long = "slot", value_name = "SLOT=REF")]
    pub slot: Vec<String>,

    /// Number of slots [default: 2, or as many as are named]
    #[arg(long, value_name = "N")]
    pub slots: Option<u32>,

    /// Partition table [default: gpt]
    #[arg(long, value_enum, value_name = "TABLE")]
    pub table: Option<TableKind>,

    /// Sector size of a disk file in bytes: 512, or 4096 for a machine with such
    /// a disk [default: 512]
    #[arg(long, value_name = "BYTES")]
    pub sector_size: Option<u64>,

    /// Size of each slot, or SLOT=SIZE [default: an equal share of what is left]
    #[arg(long, value_name = "SIZE")]
    pub slot_size: Vec<String>,

    /// Make the rest of the disk a data partition that no flash touches
    #[arg(long)]
    pub data: bool,

    /// Write only the named slots of a disk made by flipslot; its table, its data
    /// and the other slots stay as they are
    #[arg(long, conflicts_with_all = ["size", "slots", "slot_size", "table", "sector_size", "data"])]
    pub keep_data: bool,

    /// Images and boot options of the slots
    #[command(flatten)]
    pub image: ImageArgs,

    /// Options for writing the slots
    #[command(flatten)]
    pub write: WriteArgs,

    /// Also write DISK.bmap, DISK.json and SHA256SUMS beside a disk file
    /// (docs/artifacts.md)
    #[arg(long)]
    pub sidecars: bool,

    /// Consent to overwrite disks
    #[command(flatten)]
    pub consent: ConsentArgs,
}

impl CreateArgs {
    /// Returns the disk; the path is empty with `--plan`, which names the disk itself.
    pub fn disk(&self) -> &Path {
        self.disk.as_deref().unwrap_or(Path::new(""))
    }
}
