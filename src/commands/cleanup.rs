//! `flipslot cleanup`: removes what an interrupted run left behind, and repairs what a power cut tore.

use crate::cli::CleanupArgs;
use crate::disk::installed::boot_files::{Holding, STATE};
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::open::Disk;
use crate::disk::installed::state_home::StateHome;
use crate::error::Result;
use crate::jump::leftovers;
use crate::output::document::Format;
use crate::output::preview::Preview;
use crate::output::print::{print, say_line};

/// Message for when there is nothing to remove or repair.
const NOTHING: &str = "nothing was left behind";

/// Removes what was left behind. Mounts and loop devices of a killed run are gone already: the kernel removes
/// them.
pub fn run(args: &CleanupArgs) -> Result<()> {
    let access = Access::of(args.plan.dry_run);
    let disk = StateHome::find(args.disk.as_deref(), access)?.disk()?;
    if args.plan.dry_run {
        return print(&preview(&disk)?, Format::of(args.plan.json));
    }
    disk.refuse_if_file_is_written()?;
    disk.repair_state_block()?;
    let mut done: Vec<String> = leftovers::remove(&disk)?.into_iter().map(|what| format!("removed {what}")).collect();
    done.extend(left(&disk)?);
    say_line(&if done.is_empty() { NOTHING.to_owned() } else { done.join("\n") })
}

fn preview(disk: &Disk) -> Result<Preview> {
    let damage = disk.state_damage()?;
    let files: &[&str] = if damage.is_some() { &STATE } else { &[] };
    let mut would: Vec<String> =
        damage.into_iter().map(|what| format!("would repair the state block: {what}")).collect();
    would.extend(leftovers::find(disk).into_iter().map(|what| format!("would remove {what}")));
    would.extend(left(disk)?);
    if would.is_empty() {
        would.push(NOTHING.to_owned());
    }
    Ok(Preview::new("cleanup", disk, files, would))
}

/// Returns a line for each slot that only a flash repairs.
fn left(disk: &Disk) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for slot in disk.table.slots.keys() {
        match disk.files.holding(*slot)? {
            Holding::Half => left.push(format!("slot {slot} is half written and cannot boot: flash it again")),
            Holding::Damaged => left.push(format!("slot {slot} is damaged and cannot boot: flash it again")),
            Holding::Nothing | Holding::Whole(_) => {}
        }
    }
    Ok(left)
}
