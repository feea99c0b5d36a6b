//! `flipslot status`: prints what is there, what runs, and what the next reset boots.

use crate::boot::configured::Configured;
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
    let facts = LiveFacts::read()?;
    let on_trial = home.trial()?.is_some() && !Path::new(CONFIRMED).exists();
    if let (StateHome::Nowhere, Some(facts)) = (&home, &facts) {
        return print(&LiveStatus::of(facts.clone(), on_trial)?, format);
    }
    let disk = home.disk()?;
    let facts = facts.filter(|_| disk.running.is_some());
    let live = facts.map(|facts| LiveStatus::of(facts, on_trial)).transpose()?;
    let run = disk.running.map(|_| Configured::read()).transpose()?.flatten();
    print(&Status::of(&disk)?.with(live, run), format)
}
