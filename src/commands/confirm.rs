//! `flipslot confirm`: declares that the running slot is healthy.

use crate::boot::ledger::{Confirm, Moment};
use crate::boot::state::State;
use crate::boot::trial::{BootedBy, Terms};
use crate::cli::DryRunArgs;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::open::{Disk, booted_by};
use crate::disk::installed::state_home::StateHome;
use crate::error::{Result, refused};
use crate::jump::arrival;
use crate::jump::arrival::CONFIRMED;
use crate::output::document::Format;
use crate::output::preview::{Preview, STATE_AND_LEDGER};
use crate::output::print::{print, say_line};
use anyhow::Context;
use std::fs;

/// Confirms the running system, or prints what that would do. Without a disk, only a trial can be confirmed.
pub fn run(args: &DryRunArgs) -> Result<()> {
    let home = StateHome::find(None, Access::of(args.dry_run))?;
    if matches!(home, StateHome::Nowhere) && home.trial()?.is_some() {
        return run_without_disk(args);
    }
    let disk = home.disk()?;
    let slot = disk.running()?;
    let state = if args.dry_run { confirmed(&disk)?.1 } else { confirm_slot(&disk)? };
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
        return print(&Preview::new("confirm", &disk, &STATE_AND_LEDGER, would), Format::of(args.json));
    }
    say_line(&said)
}

/// Ends the trial of a system that runs from no disk.
fn run_without_disk(args: &DryRunArgs) -> Result<()> {
    const SAID: &str = "this system is confirmed. It runs from no disk: a reset boots what it did before";
    if args.dry_run {
        let would = vec![format!("would say: {SAID}")];
        return print(&Preview::without_disk("confirm", would), Format::of(args.json));
    }
    end_trial()?;
    say_line(SAID)
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
    let terms = arrival::look(disk).map(|boot| Terms { confirm: boot.confirm, deadline: boot.deadline });
    let terms = terms.unwrap_or(Terms { confirm: Confirm::Manual, ..Terms::default() });
    Ok((before, if is_known { before } else { before.confirmed(slot, by, terms) }))
}

/// Records that the running system is healthy, which ends its trial. Returns the new state on the disk; `None`
/// if there is no disk.
pub fn confirm(home: &StateHome) -> Result<Option<State>> {
    match home {
        StateHome::Disk(disk) => confirm_slot(disk).map(Some),
        StateHome::Nowhere => end_trial().map(|()| None),
    }
}

/// Records on the disk that the running slot is healthy; returns the new state.
fn confirm_slot(disk: &Disk) -> Result<State> {
    let (before, state) = confirmed(disk)?;
    disk.repair_state_block()?;
    if state != before {
        disk.files.write_state(state)?;
    }
    end_trial()?;
    let noted = arrival::note(disk, |boot| {
        boot.healthy.get_or_insert(Moment::now());
    });
    if let Err(error) = noted {
        crate::stderr!("flipslot: cannot record the confirmation in the ledger: {error:#}");
    }
    Ok(state)
}

/// Ends the trial: `flipslot watch-trial` waits for this file.
fn end_trial() -> Result<()> {
    fs::write(CONFIRMED, "").with_context(|| format!("writing {CONFIRMED}"))
}
