//! `flipslot cleanup`: what an interrupted run left behind, and what a power cut tore.

use crate::cli::CleanupArgs;
use crate::commands::say::say;
use crate::disk::Disk;
use crate::disk::boot_files::Holding;
use crate::disk::boot_partition::Access;
use crate::error::Result;
use crate::jump::leftovers;
use std::fmt::Write as _;

/// Removes it. Mounts and loop devices of a killed run are gone already: the kernel removes them.
pub fn run(args: &CleanupArgs) -> Result<()> {
    let access = if args.dry_run { Access::Look } else { Access::Change };
    let disk = Disk::open(args.disk.as_deref(), access)?;
    let mut text = String::new();
    if args.dry_run {
        if let Some(what) = disk.state_damage()? {
            let _ = writeln!(text, "would mend the state block: {what}");
        }
        for what in leftovers::find(&disk) {
            let _ = writeln!(text, "would remove {what}");
        }
    } else {
        disk.refuse_if_file_is_written()?;
        disk.mend()?;
        for what in leftovers::remove(&disk)? {
            let _ = writeln!(text, "removed {what}");
        }
    }
    for slot in disk.table.slots.keys() {
        let _ = match disk.files.holding(*slot)? {
            Holding::Half => writeln!(text, "slot {slot} is half written and cannot boot: flash it again"),
            Holding::Damaged => writeln!(text, "slot {slot} is damaged and cannot boot: flash it again"),
            Holding::Nothing | Holding::Image(_) => Ok(()),
        };
    }
    say(if text.is_empty() { "nothing was left behind\n" } else { &text })
}
