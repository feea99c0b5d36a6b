//! The flags of `check`.

use crate::boot::root_on::LiveFormat;
use crate::cli::ImageArgs;
use clap::Args;
use std::path::PathBuf;

/// The text at the end of `check --help`.
pub const CHECK_HELP: &str = "\
An image is read without a disk and without root; nothing is written anywhere.
--fix shows what create or flash would fix with it, and what remains.
Exit codes: 0 no error found (warnings are listed), 1 an error found, or with
--strict a warning, 2 usage, 3 refused.

Examples:
  flipslot check docker://127.0.0.1:5000/os/debian:13 --hardware rack12.json
  flipslot check docker://127.0.0.1:5000/os/web:12 --boot netboot
  flipslot check --slot b
  flipslot check --disk golden.raw --slot a --hardware qemu --json";

/// The flags of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Image to look at, such as docker://host/name:tag (see `create --help`)
    #[arg(required_unless_present = "slot", conflicts_with = "slot")]
    pub reference: Option<String>,

    /// Slot to look at, on a disk that flipslot made
    #[arg(long, value_name = "SLOT")]
    pub slot: Option<String>,

    /// Disk or disk file of the slot [default: the one that this system runs
    /// from]
    #[arg(long, value_name = "DISK", requires = "slot")]
    pub disk: Option<PathBuf>,

    /// Way to boot the image: from a slot, or from the network
    #[arg(long, value_enum, value_name = "WAY", default_value = "slot", conflicts_with = "slot")]
    pub boot: BootWay,

    /// Format of the root that boots from the network [default: squashfs]
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "slot")]
    pub format: Option<LiveFormat>,

    /// Fail on warnings, too
    #[arg(long)]
    pub strict: bool,

    /// Options for the image and its boot
    #[command(flatten)]
    pub image: ImageArgs,
}

/// Ways to boot an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BootWay {
    /// From a slot of a disk
    Slot,
    /// From the network, into memory
    Netboot,
}
