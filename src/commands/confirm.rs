//! `flipslot confirm`: the running slot is healthy.

use crate::boot::ledger::Moment;
use crate::boot::state::State;
use crate::boot::trial::BootedBy;
use crate::cli::DryRunArgs;
use crate::commands::say::say_line;
use crate::commands::would::{STATE_AND_LEDGER, Would};
use crate::disk::Disk;
use crate::disk::boot_partition::Access;
use crate::disk::installed::booted_by;
use crate::error::{Result, refused};
use crate::jump::arrival::{self, CONFIRMED};
use anyhow::Context;
use std::fs;

/// Declares the running slot healthy.
pub fn run(args: &DryRunArgs) -> Result<()> {
    let disk = Disk::open(None, if args.dry_run { Access::Look } else { Access::Change })?;
    let slot = disk.running()?;
    let state = if args.dry_run { confirmed(&disk)?.1 } else { confirm(&disk)? };
    let said = if state.proven == slot {
        format!("slot {slot} is proven: it boots from now on")
    } else {
        format!(
            "slot {slot} is confirmed. It came up by kexec, not yet from the firmware: the next {} resets try it, and fall back to slot {}",
            state.tries, state.proven
        )
    };
    if args.dry_run {
        let would = vec![format!("would say: {said}")];
        return Would::new("confirm", &disk, &STATE_AND_LEDGER, would).print(args.json);
    }
    say_line(&said)
}

/// What the disk says, and what it would say of a running slot that is healthy.
fn confirmed(disk: &Disk) -> Result<(State, State)> {
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
    let is_known = by == BootedBy::Proven && before.proven == slot;
    Ok((before, if is_known { before } else { before.confirmed(slot, by) }))
}

/// Writes down that the running slot is healthy; returns what the disk says now.
pub fn confirm(disk: &Disk) -> Result<State> {
    let (before, state) = confirmed(disk)?;
    disk.mend()?;
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
