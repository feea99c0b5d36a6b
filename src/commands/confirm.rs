//! `flipslot confirm`: declares that the running slot is healthy.

use crate::boot::ledger::Moment;
use crate::boot::state::State;
use crate::boot::trial::BootedBy;
use crate::cli::DryRunArgs;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::open::{Disk, booted_by};
use crate::error::{Result, refused};
use crate::jump::arrival;
use crate::jump::arrival::CONFIRMED;
use crate::output::preview::{STATE_AND_LEDGER, Would};
use crate::output::print::say_line;
use anyhow::Context;
use std::fs;

/// Confirms the running slot, or prints what that would do.
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

/// Returns the state on the disk, and the state once the running slot is confirmed. Refuses a slot that GRUB
/// could not boot again.
fn confirmed(disk: &Disk) -> Result<(State, State)> {
    let slot = disk.running()?;
    if disk.files.holding(slot)?.record().is_none() {
        return Err(refused(
            format!("slot {slot} runs, but its record or its menu entry is damaged: GRUB could not boot it again"),
            format!("switch to another slot, and write this one: flipslot flash REFERENCE --slot {slot}"),
        ));
    }
    let before = disk.state()?;
    // A kernel that was started by GRUB has a word for that on its command line.
    let by = booted_by().unwrap_or(BootedBy::Kexec);
    let is_known = by == BootedBy::Proven && before.proven == slot;
    Ok((before, if is_known { before } else { before.confirmed(slot, by) }))
}

/// Records on the disk that the running slot is healthy; returns the new state.
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
        crate::tell!("flipslot: cannot record the confirmation in the ledger: {error:#}");
    }
    Ok(state)
}
