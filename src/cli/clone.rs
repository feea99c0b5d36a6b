//! The flags of `clone`.

use crate::cli::ConsentArgs;
use crate::progress::Style;
use clap::Args;
use std::path::PathBuf;

/// What `clone --help` says at its end.
pub const CLONE_HELP: &str = "\
The source is read once, and only what is allocated in it; what is zero there
is zero on every copy. Each copy is read back and compared, then gets GUIDs
and UUIDs of its own, with the entries that boot by them, the backup table at
its end, and a `data` partition as large as the disk leaves room. The first
MiB comes last: a copy that was cut short does not boot. A disk that fails
does not stop the others.
Exit codes: 0 all done, 1 some failed (the result says which), 2 usage,
3 refused and nothing written. docs/clone.md describes the JSON.

Examples:
  flipslot clone golden.raw /dev/sdb /dev/sdc /dev/sdd --json
  flipslot clone /dev/sdb one.raw two.raw --size 16GiB";

/// The flags of `clone`.
#[derive(Debug, Args)]
pub struct CloneArgs {
    /// Disk or disk file that flipslot made and nobody writes now
    pub source: PathBuf,

    /// Block device to overwrite, or raw disk file to make; as many as wanted
    #[arg(required = true)]
    pub targets: Vec<PathBuf>,

    /// Size of the disk files [default: that of the source]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,

    /// What may be overwritten
    #[command(flatten)]
    pub consent: ConsentArgs,

    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// How to show what is going on
    #[arg(long, value_enum, value_name = "STYLE", default_value = "auto")]
    pub progress: Style,

    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}
