//! `flipslot status`: prints what is there, what runs, and what the next reset boots.

use crate::cli::StatusArgs;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::state_home::StateHome;
use crate::error::Result;
use crate::output::document::Format;
use crate::output::print::print;
use crate::output::status::Status;

/// Prints the status of a disk. Changes nothing, not even what is damaged.
pub fn run(args: &StatusArgs) -> Result<()> {
    let status = Status::of(&StateHome::find(args.disk.as_deref(), Access::Look)?.disk()?)?;
    print(&status, Format::of(args.json))
}
