//! `flipslot status`: prints what is there, what runs, and what the next reset boots.

use crate::cli::StatusArgs;
use crate::commands::say::say;
use crate::commands::status_facts::Status;
use crate::commands::status_text::render;
use crate::disk::Disk;
use crate::disk::boot_partition::Access;
use crate::error::Result;

/// Prints the status of a disk. Changes nothing, not even what is damaged.
pub fn run(args: &StatusArgs) -> Result<()> {
    let status = Status::of(&Disk::open(args.disk.as_deref(), Access::Look)?)?;
    if args.json { say(&(serde_json::to_string_pretty(&status)? + "\n")) } else { say(&render(&status)) }
}
