//! `flipslot confirm`: the running slot is healthy.

use crate::boot::ledger::Moment;
use crate::boot::state::State;
use crate::boot::trial::BootedBy;
use crate::commands::say::say_line;
use crate::disk::Disk;
use crate::disk::boot_partition::Access;
use crate::disk::installed::booted_by;
use crate::error::{Result, refused};
use crate::jump::arrival::{self, CONFIRMED};
use anyhow::Context;
use std::fs;

/// Declares the running slot healthy.
pub fn run() -> Result<()> {
    let disk = Disk::open(None, Access::Change)?;
    let slot = disk.running()?;
    let state = confirm(&disk)?;
    say_line(&if state.proven == slot {
        format!("slot {slot} is proven: it boots from now on")
    } else {
        format!(
            "slot {slot} is confirmed. It came up by kexec, not yet from the firmware: the next {} resets try it, and fall back to slot {}",
            state.tries, state.proven
        )
    })
}

/// Writes down that the running slot is healthy; returns what the disk says now.
pub fn confirm(disk: &Disk) -> Result<State> {
    let slot = disk.running()?;
    if disk.files.holding(slot)?.record().is_none() {
        return Err(refused(
            format!("slot {slot} runs, but its record or its menu entry is damaged: GRUB could not boot it again"),
            format!("go to another slot, and write this one: flipslot flash REFERENCE --slot {slot}"),
        ));
    }
    let before = disk.state()?;
    // A kernel that does not say who started it was not started by GRUB.
    let by = booted_by().unwrap_or(BootedBy::Kexec);
    let state = if by == BootedBy::Proven && before.proven == slot { before } else { before.confirmed(slot, by) };
    if state != before {
        disk.files.write_state(state)?;
    }
    fs::write(CONFIRMED, "").with_context(|| format!("writing {CONFIRMED}"))?;
    let noted = arrival::note(disk, |boot| {
        boot.healthy.get_or_insert(Moment::now());
    });
    if let Err(error) = noted {
        crate::tell!("flipslot: the ledger does not know of it: {error:#}");
    }
    Ok(state)
}
