//! The command line: its flags, and the types that come out of it.

use crate::boot::ledger::Confirm;
use crate::jump::leap::Way;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

mod clone;
mod consent;
mod create;
mod image;
pub mod reference;

pub use clone::{CLONE_HELP, CloneArgs};
pub use consent::ConsentArgs;
pub use create::{CREATE_HELP, CreateArgs};
pub use image::{ImageArgs, WriteArgs};
pub use reference::{CompletionsArgs, ReferenceArgs};

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
    /// Write an OCI image into another slot than the running one
    #[command(after_help = FLASH_HELP)]
    Flash(Box<FlashArgs>),
    /// Write one golden disk onto many at the same time, each with names of its own
    #[command(after_help = CLONE_HELP)]
    Clone(CloneArgs),
    /// Say whether an image, or a slot, would come up on a machine, and why not
    #[command(after_help = CHECK_HELP)]
    Check(Box<CheckArgs>),
    /// Jump into another slot, on trial: whatever fails ends on this one
    Switch(SwitchArgs),
    /// Declare the running slot healthy: what boots from now on
    Confirm(DryRunArgs),
    /// Go back to the slot that was proven before this one
    Rollback(DryRunArgs),
    /// Show slots, what runs, what is proven, and what the next reset boots
    Status(StatusArgs),
    /// Tell what this machine needs to boot, as JSON
    #[command(after_help = HARDWARE_HELP)]
    Hardware(HardwareArgs),
    /// Remove what an interrupted run left behind
    Cleanup(CleanupArgs),
    /// Print completions for a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions(CompletionsArgs),
    /// Print docs/cli.md or write the man pages (make docs, make install)
    #[command(hide = true)]
    Reference(ReferenceArgs),
    /// Reset a trial that nobody confirms in time (flipslot-trial.service)
    #[command(hide = true)]
    WatchTrial,
    /// Confirm a healthy trial, or go back (flipslot-health.service)
    #[command(hide = true)]
    CheckHealth,
    /// Note when the last service had stopped (systemd-shutdown)
    #[command(hide = true)]
    NoteShutdown(NoteArgs),
    /// Become a program of a slot; flipslot starts itself so (boot/chamber.rs)
    #[command(hide = true)]
    EnterChamber(EnterArgs),
}

const FLASH_HELP: &str = "\
The slot must not run, must not be mounted, and must not be the proven one,
which every failed boot ends on. Console, kernel words and hardware are those
of the running slot where nothing else is said.

Example, on a server that runs slot a:
  flipslot flash docker://127.0.0.1:5000/os/debian:13 --slot b
  flipslot switch --slot b";

const CHECK_HELP: &str = "\
An image is read without a disk and without root; nothing is written anywhere.
--fix shows what a create or flash with it would mend, and what is left.
Exit codes: 0 nothing found, 1 something found, 2 usage, 3 refused.

Examples:
  flipslot check docker://127.0.0.1:5000/os/debian:13 --hardware rack12.json
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

    /// What is wanted of the slot
    #[command(flatten)]
    pub image: ImageArgs,
}

const HARDWARE_HELP: &str = "\
Devices from the root of the machine to its boot disk and network cards,
consoles, memory, watchdogs: read from sysfs, nothing is changed. It needs no
root. docs/hardware.md describes the JSON.

Example, with the inventory of a server on the machine that makes its disk:
  ssh server1 flipslot hardware > server1.json";

const COMPLETIONS_HELP: &str = "\
`make install` puts them where the three shells look.

Examples:
  flipslot completions bash > /etc/bash_completion.d/flipslot
  flipslot completions zsh > \"${fpath[1]}/_flipslot\"
  flipslot completions fish > ~/.config/fish/completions/flipslot.fish";

/// The arguments that systemd-shutdown(8) gives.
#[derive(Debug, Args)]
pub struct NoteArgs {
    /// The script that it started
    pub script: PathBuf,
    /// What comes next: reboot, kexec, poweroff, halt
    pub verb: String,
}

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

/// The flags of `flash`.
#[derive(Debug, Args)]
pub struct FlashArgs {
    /// Image to write, such as docker://host/name:tag (see `create --help`)
    pub reference: String,

    /// Slot to write it into
    #[arg(long, value_name = "SLOT")]
    pub slot: String,

    /// Disk or disk file [default: the one that this system runs from]
    #[arg(long, value_name = "DISK")]
    pub disk: Option<PathBuf>,

    /// File or pattern to carry over from the running slot, or none; may be
    /// repeated [default: /etc/machine-id, /etc/ssh/ssh_host_*, /etc/hostname]
    #[arg(long, value_name = "PATH")]
    pub keep: Vec<String>,

    /// First make the running, confirmed slot the fallback
    #[arg(long)]
    pub promote: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// What is wanted of the slots
    #[command(flatten)]
    pub image: ImageArgs,

    /// How they are written
    #[command(flatten)]
    pub write: WriteArgs,
}

/// The flags of `switch`.
#[derive(Debug, Args)]
pub struct SwitchArgs {
    /// Slot to jump into
    #[arg(long, value_name = "SLOT")]
    pub slot: String,

    /// How: kexec if the kernel can, else the firmware; or one of them
    #[arg(long, value_enum, value_name = "WAY", default_value = "auto")]
    pub by: Way,

    /// Who confirms the slot: its health check, or `flipslot confirm` by hand
    #[arg(long, value_enum, value_name = "WHO", default_value = "auto")]
    pub confirm: Confirm,

    /// Time after which an unconfirmed slot is given up: 90s, 10m, 1h
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub deadline: String,

    /// Jump although these rules find something (docs/check.md)
    #[arg(long, value_name = "RULE,...")]
    pub allow: Vec<String>,

    /// Whether to do anything
    #[command(flatten)]
    pub plan: DryRunArgs,
}

/// The flags of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Disk or disk file [default: the one that this system runs from]
    #[arg(long, value_name = "DISK")]
    pub disk: Option<PathBuf>,

    /// Print one JSON document (docs/status.md)
    #[arg(long)]
    pub json: bool,
}

/// The flags of `hardware`.
#[derive(Debug, Args)]
pub struct HardwareArgs {
    /// File to write, whole or not at all [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Disk that it is to boot from [default: what / is on, else every disk]
    #[arg(long, value_name = "DISK")]
    pub disk: Option<PathBuf>,
}

/// The flags of `confirm` and `rollback`.
#[derive(Debug, Args)]
pub struct DryRunArgs {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Say that as one JSON document (docs/plan.md)
    #[arg(long, requires = "dry_run")]
    pub json: bool,
}

/// The flags of `cleanup`.
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// Whether to do anything
    #[command(flatten)]
    pub plan: DryRunArgs,

    /// Disk or disk file [default: the one that this system runs from]
    #[arg(long, value_name = "DISK")]
    pub disk: Option<PathBuf>,
}
