//! The flags of `clone`.

use crate::cli::ConsentArgs;
use crate::progress::Style;
use clap::Args;
use std::path::PathBuf;

/// The text at the end of `clone --help`.
pub const CLONE_HELP: &str = "\
The source is read once, and only its allocated parts; what is zero there is
zero on every copy. Each copy is read back and compared, then gets its own
GUIDs and UUIDs, boot entries that use them, the backup table at its end, and
a `data` partition that fills the disk. The first MiB is written last: a copy
that was cut short does not boot. A disk that fails does not stop the others.
Exit codes: 0 all done, 1 some failed (the result says which), 2 usage,
3 refused and nothing written. docs/clone.md describes the JSON.

Examples:
  flipslot clone golden.raw /dev/sdb /dev/sdc /dev/sdd --json
  flipslot clone /dev/sdb one.raw two.raw --size 16GiB";

/// The flags of `clone`.
#[derive(Debug, Args)]
pub struct CloneArgs {
    /// Disk or disk file made by flipslot, which nothing has open for writing
    pub source: PathBuf,

    /// Block devices to overwrite, or raw disk files to make
    #[arg(required = true)]
    pub targets: Vec<PathBuf>,

    /// Size of the disk files [default: that of the source]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,

    /// Consent to overwrite disks
    #[command(flatten)]
    pub consent: ConsentArgs,

    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Style in which to show progress
    #[arg(long, value_enum, value_name = "STYLE", default_value = "auto")]
    pub progress: Style,

    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}
