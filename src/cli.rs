//! The command line: its flags, and the types that come out of it.

use crate::boot::Hardware;
use crate::progress::Style;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Boots container images on bare metal, with a way back.
#[derive(Debug, Parser)]
#[command(name = "flipslot", version, max_term_width = 80)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write OCI images into the slots of a new disk that boots on BIOS and UEFI
    #[command(after_help = CREATE_HELP)]
    Create(Box<CreateArgs>),
    /// Become a program of a slot; flipslot starts itself so (boot/chamber.rs)
    #[command(hide = true)]
    EnterChamber(EnterArgs),
}

const CREATE_HELP: &str = "\
References:
  docker://host/name:tag     a registry (also @sha256:…); a bare name means it
  oci:directory[:tag]        an OCI image layout
  oci-archive:file[:tag]     an OCI image layout in a tar file
  docker-archive:file[:name] what `docker save` writes

A disk file appears when it is whole; until then nothing stands at its path.
Exit codes: 0 done, 2 usage, 3 refused and nothing written, 1 failed.

Example:
  flipslot create golden.raw --size 8GiB --console ttyS0 \\
      --slot a=docker://127.0.0.1:5000/os/debian:12 --slot b=oci:./layout:13";

/// The arguments of `enter-chamber`.
#[derive(Debug, Args)]
pub struct EnterArgs {
    /// Where the slot is
    pub place: PathBuf,
    /// Program of the slot
    pub program: OsString,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// The flags of `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Raw disk file to make, or block device to overwrite
    pub disk: PathBuf,

    /// Size of the disk file: 8GiB, 4000MiB, …
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,

    /// Image to write into a slot, as LETTER=REFERENCE; once for each slot
    #[arg(long = "slot", value_name = "SLOT=REF")]
    pub slot: Vec<String>,

    /// Number of slots [default: 2, or as many as are named]
    #[arg(long, value_name = "N")]
    pub slots: Option<u32>,

    /// Size of each slot [default: the disk, divided evenly]
    #[arg(long, value_name = "SIZE")]
    pub slot_size: Option<String>,

    /// Make the rest of the disk a data partition that no flash touches
    #[arg(long)]
    pub data: bool,

    /// Machine that the initramfs is for [default: generic]
    #[arg(long, value_enum, value_name = "PROFILE")]
    pub hardware: Option<Hardware>,

    /// Words to add to the kernel command line
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub kargs: Option<String>,

    /// Console to log to and log in at, such as ttyS0; may be repeated
    #[arg(long, value_name = "TTY")]
    pub console: Vec<String>,

    /// Kernel to boot, if an image has several: VERSION or SLOT=VERSION
    #[arg(long, value_name = "VERSION")]
    pub kernel: Vec<String>,

    /// Architecture to choose from an index [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,

    /// Registry (host:port) to speak to without TLS; this machine needs none
    #[arg(long, value_name = "HOST")]
    pub plain_http: Vec<String>,

    /// Certificate authority (PEM) of a registry, beside the system's
    #[arg(long, value_name = "FILE")]
    pub registry_ca: Vec<PathBuf>,

    /// Read the disk's definition from a TOML file; flags override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How to show what is going on
    #[arg(long, value_enum, value_name = "STYLE", default_value = "auto")]
    pub progress: Style,

    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,

    /// Replace a disk file that exists, or a device that is not empty
    #[arg(long)]
    pub yes: bool,
}
