//! The flags of `switch`.

use crate::boot::ledger::Confirm;
use crate::cli::DryRunArgs;
use crate::jump::route::Way;
use crate::progress::Style;
use crate::root::packed::Format;
use clap::Args;
use std::path::PathBuf;

/// The text at the end of `switch --help`.
pub const SWITCH_HELP: &str = "\
With --ram, the image is fetched and packed while this system runs, and started
by kexec. It has flipslot's agent: health check and deadline. `flipslot confirm`
there ends the trial (docs/switching.md).

Examples:
  flipslot switch --slot b
  flipslot switch --ram docker://10.0.0.1:5000/os/rescue:12 --deadline 5m";

/// The flags of `switch`.
#[derive(Debug, Args)]
pub struct SwitchArgs {
    /// Slot to jump into
    #[arg(long, value_name = "SLOT", required_unless_present = "ram", conflicts_with = "ram")]
    pub slot: Option<String>,

    /// Image to jump into, in RAM. No slot is needed, and none is changed; a reset
    /// boots as if it had never run. Needs space in /var/tmp (TMPDIR)
    #[arg(long, value_name = "REF")]
    pub ram: Option<String>,

    /// Way to jump: kexec if the kernel can, else the firmware; or one of them
    #[arg(long, value_enum, value_name = "WAY", default_value = "auto")]
    pub by: Way,

    /// Confirm the new system by its health check, or with `flipslot confirm` by hand
    #[arg(long, value_enum, value_name = "MODE", default_value = "auto")]
    pub confirm: Confirm,

    /// Time after which a system that is not confirmed is given up: 90s, 10m, 1h
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub deadline: String,

    /// Jump even if these rules find something (docs/check.md)
    #[arg(long, value_name = "RULE,...")]
    pub allow: Vec<String>,

    /// Options of `--ram`
    #[command(flatten)]
    pub memory: RamArgs,

    /// Options for a dry run
    #[command(flatten)]
    pub plan: DryRunArgs,
}

/// The flags of `switch --ram`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of --ram")]
pub struct RamArgs {
    /// Filesystem of the image in RAM [default: squashfs if a program here writes
    /// it, else erofs, which takes more memory]
    #[arg(long, value_enum, value_name = "FORMAT", requires = "ram")]
    pub format: Option<Format>,

    /// Words to add to the kernel command line
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true, requires = "ram")]
    pub kargs: Option<String>,

    /// Console to log to and log in at; may be repeated [default: this system's]
    #[arg(long, value_name = "TTY", requires = "ram")]
    pub console: Vec<String>,

    /// Kernel to boot, if the image has several
    #[arg(long, value_name = "VERSION", requires = "ram")]
    pub kernel: Option<String>,

    /// Fix what these rules find (docs/check.md)
    #[arg(long, value_name = "RULE,...", requires = "ram")]
    pub fix: Vec<String>,

    /// Registry (host:port) to reach without TLS
    #[arg(long, value_name = "HOST", requires = "ram")]
    pub plain_http: Vec<String>,

    /// Certificate authority (PEM) of a registry, in addition to the system's
    #[arg(long, value_name = "FILE", requires = "ram")]
    pub registry_ca: Vec<PathBuf>,

    /// File of registry credentials [default: Podman's, then Docker's]
    #[arg(long, value_name = "FILE", requires = "ram")]
    pub authfile: Option<PathBuf>,

    /// Refuse the image unless it is signed with this public key (PEM); may be
    /// repeated: one of them is enough
    #[arg(long, value_name = "FILE", requires = "ram")]
    pub verify_key: Vec<PathBuf>,

    /// Style in which to show progress
    #[arg(long, value_enum, value_name = "STYLE", default_value = "auto")]
    pub progress: Style,
}
