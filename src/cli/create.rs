//! The flags of `create`.

use crate::cli::{ConsentArgs, ImageArgs, WriteArgs};
use crate::disk::layout::TableKind;
use clap::Args;
use std::path::{Path, PathBuf};

/// What `create --help` says at its end.
pub const CREATE_HELP: &str = "\
References:
  docker://host/name:tag     a registry (also @sha256:…); a bare name means it
  oci:directory[:tag]        an OCI image layout
  oci-archive:file[:tag]     an OCI image layout in a tar file
  docker-archive:file[:name] what `docker save` writes

A disk file is raw, unless its name ends with .qcow2, .vmdk, .vhdx (which need
qemu-img), or .raw.zst. It appears when it is whole; until then nothing stands
at its path. With SOURCE_DATE_EPOCH set, a file made of the same gets the same
identifiers and times.
A disk is refused while anything uses it. At a terminal, flipslot shows which
disk it is and what is on it, and wants its name typed; see docs/disks.md.

Exit codes: 0 done, 2 usage, 3 refused and nothing written, 1 failed.

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

    /// Do what this plan says, if disk and images are still what they were: the
    /// JSON of a dry run (docs/plan.md)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["disk", "slot", "size", "slots", "keep_data", "dry_run", "yes", "config"])]
    pub plan: Option<PathBuf>,

    /// Say what would be done, and do nothing
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

    /// Bytes of a sector of a disk file: 512, or 4096 for a machine whose disk
    /// has such [default: 512]
    #[arg(long, value_name = "BYTES")]
    pub sector_size: Option<u64>,

    /// Size of each slot, or SLOT=SIZE [default: what is left, divided evenly]
    #[arg(long, value_name = "SIZE")]
    pub slot_size: Vec<String>,

    /// Make the rest of the disk a data partition that no flash touches
    #[arg(long)]
    pub data: bool,

    /// Write the named slots of a disk that flipslot has made; its table, its data
    /// and the other slots stay as they are
    #[arg(long, conflicts_with_all = ["size", "slots", "slot_size", "table", "sector_size", "data"])]
    pub keep_data: bool,

    /// What is wanted of the slots
    #[command(flatten)]
    pub image: ImageArgs,

    /// How they are written
    #[command(flatten)]
    pub write: WriteArgs,

    /// Also write DISK.bmap, DISK.json and SHA256SUMS beside a disk file
    /// (docs/artifacts.md)
    #[arg(long)]
    pub sidecars: bool,

    /// What may be overwritten
    #[command(flatten)]
    pub consent: ConsentArgs,
}

impl CreateArgs {
    /// The disk; with `--plan` the plan names it.
    pub fn disk(&self) -> &Path {
        self.disk.as_deref().unwrap_or(Path::new(""))
    }
}
