//! The command line: its flags, and the types that come out of it.

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

mod check;
mod clone;
mod consent;
mod create;
mod image;
pub mod manual;
mod netboot;
pub mod parse;
mod root_file;
mod serve;
mod switch;
mod value;

pub use check::{BootWay, CHECK_HELP, CheckArgs};
pub use clone::{CLONE_HELP, CloneArgs};
pub use consent::ConsentArgs;
pub use create::{CREATE_HELP, CreateArgs};
pub use image::{FetchArgs, ImageArgs, RootFormat, WriteArgs};
pub use manual::{CompletionsArgs, ReferenceArgs};
pub use netboot::{NETBOOT_HELP, NetbootArgs};
pub use root_file::{ROOT_FILE_HELP, RootFileArgs};
pub use serve::{SERVE_HELP, ServeArgs};
pub use switch::{RamArgs, SWITCH_HELP, SwitchArgs};

/// Boots container images on bare metal, with a way back.
#[derive(Debug, Parser)]
#[command(name = "flipslot", version, max_term_width = 80)]
pub struct Cli {
    /// The subcommand to run.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The subcommands of flipslot.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write OCI images into the slots of a new disk that boots on BIOS and UEFI
    #[command(after_help = CREATE_HELP)]
    Create(Box<CreateArgs>),
    /// Write an OCI image into a slot that is not running
    #[command(after_help = FLASH_HELP)]
    Flash(Box<FlashArgs>),
    /// Copy one golden disk onto many at once, each with identifiers of its own
    #[command(after_help = CLONE_HELP)]
    Clone(CloneArgs),
    /// Check if an image, or a slot, would come up on a machine, and why not
    #[command(after_help = CHECK_HELP)]
    Check(Box<CheckArgs>),
    /// Write the root of an image into one file: squashfs or EROFS
    #[command(after_help = ROOT_FILE_HELP)]
    Image(Box<RootFileArgs>),
    /// Write a folder of static files from which machines boot images by PXE
    #[command(after_help = NETBOOT_HELP)]
    Netboot(Box<NetbootArgs>),
    /// Serve such a folder to a lab: addresses, boot loaders and files
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Jump into another slot, or an image in RAM, on trial: any failure leads back
    #[command(after_help = SWITCH_HELP)]
    Switch(Box<SwitchArgs>),
    /// Declare the running slot healthy: it boots from now on
    Confirm(DryRunArgs),
    /// Go back to the slot that was proven before this one
    Rollback(DryRunArgs),
    /// Discard, at its next start, all that the running slot keeps (--overlay data)
    Reset(ResetArgs),
    /// Show the slots: which one runs, which is proven, which boots next; or the image in RAM that runs
    Status(StatusArgs),
    /// Print what this machine needs to boot, as JSON
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
    /// Reset a trial that is not confirmed in time (flipslot-trial.service)
    #[command(hide = true)]
    WatchTrial,
    /// Confirm a healthy trial, or go back (flipslot-health.service)
    #[command(hide = true)]
    CheckHealth,
    /// Run what flipslot.run= names, once (flipslot-run.service)
    #[command(hide = true)]
    RunConfiguration,
    /// Record when the last service had stopped (systemd-shutdown)
    #[command(hide = true)]
    NoteShutdown(NoteArgs),
    /// Become a program of a slot; flipslot starts itself this way (chamber/mod.rs)
    #[command(hide = true)]
    EnterChamber(EnterArgs),
    /// Unpack layers into a slot; flipslot starts itself this way (unpack/mod.rs)
    #[command(hide = true)]
    UnpackLayers(UnpackArgs),
}

const FLASH_HELP: &str = "\
The slot must not be running or mounted, nor be the proven one, on which every
failed boot ends. Console, kernel words and hardware are those of the running
slot unless given.

Example, on a server that runs slot a:
  flipslot flash docker://127.0.0.1:5000/os/debian:13 --slot b
  flipslot switch --slot b";

const HARDWARE_HELP: &str = "\
Prints devices from the root of the machine to its boot disk and network
cards, consoles, memory, watchdogs: read from sysfs, without changing anything
and without root. docs/hardware.md describes the JSON.

Example, with the inventory of a server on the machine that makes its disk:
  ssh server1 flipslot hardware > server1.json";

const COMPLETIONS_HELP: &str = "\
`make install` puts them where the three shells look.

Examples:
  flipslot completions bash > /etc/bash_completion.d/flipslot
  flipslot completions zsh > \"${fpath[1]}/_flipslot\"
  flipslot completions fish > ~/.config/fish/completions/flipslot.fish";

/// The arguments that systemd-shutdown(8) passes.
#[derive(Debug, Args)]
pub struct NoteArgs {
    /// The script that it started
    pub script: PathBuf,
    /// Next step of the shutdown: reboot, kexec, poweroff, halt
    pub verb: String,
}

/// The arguments of `unpack-layers`.
#[derive(Debug, Args)]
pub struct UnpackArgs {
    /// Place of the slot, and limits (JSON)
    pub task: String,
}

/// The arguments of `enter-chamber`.
#[derive(Debug, Args)]
pub struct EnterArgs {
    /// Limits of the chamber, and where it is (JSON)
    pub walls: String,
    /// Program of the slot
    pub program: OsString,
    /// Arguments of the program
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

    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Options for the image and its boot
    #[command(flatten)]
    pub image: ImageArgs,

    /// Options for writing the slot
    #[command(flatten)]
    pub write: WriteArgs,
}

/// The flags of `reset`.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Take the request back, before the next start
    #[arg(long)]
    pub cancel: bool,
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
    /// File to write, completely or not at all [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Disk to boot from [default: the one that / is on, else every disk]
    #[arg(long, value_name = "DISK")]
    pub disk: Option<PathBuf>,
}

/// The flags of a dry run: of `confirm`, `rollback` and others.
#[derive(Debug, Args)]
pub struct DryRunArgs {
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Print that as one JSON document (docs/plan.md)
    #[arg(long, requires = "dry_run")]
    pub json: bool,
}

/// The flags of `cleanup`.
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// Options for a dry run
    #[command(flatten)]
    pub plan: DryRunArgs,

    /// Disk or disk file [default: the one that this system runs from]
    #[arg(long, value_name = "DISK")]
    pub disk: Option<PathBuf>,
}
