//! `flipslot status`: prints what is there, what runs, and what the next reset boots.

use crate::cli::StatusArgs;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::state_home::StateHome;
use crate::error::Result;
use crate::init::live_facts::LiveFacts;
use crate::jump::arrival::CONFIRMED;
use crate::output::document::Format;
use crate::output::live_status::LiveStatus;
use crate::output::print::print;
use crate::output::status::Status;
use std::path::Path;

/// Prints the status of a disk. Changes nothing, not even what is damaged.
pub fn run(args: &StatusArgs) -> Result<()> {
    let home = StateHome::find(args.disk.as_deref(), Access::Look)?;
    let format = Format::of(args.json);
    if let (StateHome::Nowhere, Some(facts)) = (&home, LiveFacts::read()?) {
        let on_trial = home.trial()?.is_some() && !Path::new(CONFIRMED).exists();
        return print(&LiveStatus::of(facts, on_trial)?, format);
    }
    print(&Status::of(&home.disk()?)?, format)
}
