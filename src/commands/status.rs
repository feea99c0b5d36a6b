//! `flipslot status`: prints what is there, what runs, and what the next reset boots.

use crate::cli::StatusArgs;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::open::Disk;
use crate::error::Result;
use crate::output::print::say;
use crate::output::status::Status;
use crate::output::status_text::render;

/// Prints the status of a disk. Changes nothing, not even what is damaged.
pub fn run(args: &StatusArgs) -> Result<()> {
    let status = Status::of(&Disk::open(args.disk.as_deref(), Access::Look)?)?;
    if args.json { say(&(serde_json::to_string_pretty(&status)? + "\n")) } else { say(&render(&status)) }
}
