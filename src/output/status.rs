//! The facts that `status` prints: what is there, what runs, and what the next reset boots.

use crate::boot::configured::Configured;
use crate::boot::ledger::{Boot, By, Confirm};
use crate::boot::slot_facts::SlotFacts;
use crate::boot::state::State;
use crate::boot::trial::BootedBy;
use crate::disk::installed::boot_files::Holding;
use crate::disk::installed::open::{Disk, booted_by};
use crate::error::Result;
use crate::jump::arrival;
use crate::jump::arrival::{CONFIRMED, uptime};
use crate::output::live_status::LiveStatus;
use crate::words::kernel_line::DEADLINE;
use crate::words::region::TableKind;
use crate::words::slot::Slot;
use serde::Serialize;
use std::path::Path;

/// The status of a disk; docs/status.md describes the JSON form, whose version is `version`.
#[derive(Debug, Serialize)]
pub struct Status {
    pub(super) version: u32,
    pub(super) disk: String,
    pub(super) size: u64,
    pub(super) table: TableKind,
    pub(super) slots: Vec<SlotStatus>,
    pub(super) running: Option<Slot>,
    pub(super) proven: Slot,
    pub(super) wanted: Slot,
    pub(super) tries: u8,
    pub(super) proven_before: Option<Slot>,
    pub(super) damage: Option<&'static str>,
    pub(super) booted_by: Option<String>,
    pub(super) trial: Option<Trial>,
    pub(super) next_boot: Slot,
    pub(super) next_reset: String,
    pub(super) last_switch: Option<Timed>,
    pub(super) last_firmware_boot: Option<Timed>,
    /// The root of this system, if it is one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) live: Option<LiveStatus>,
    /// Result of what `flipslot.run=` names.
    pub(super) run: Option<Configured>,
}

/// The status of one slot.
#[derive(Debug, Serialize)]
pub(super) struct SlotStatus {
    pub slot: Slot,
    pub partition: u32,
    pub partuuid: String,
    pub size: u64,
    pub holds: &'static str,
    #[serde(flatten)]
    pub image: Option<SlotFacts>,
}

/// The running boot, if it is a trial.
#[derive(Debug, Serialize)]
pub(super) struct Trial {
    pub confirmed: bool,
    pub confirm: Confirm,
    pub deadline_seconds: u64,
    pub seconds_left: Option<u64>,
}

/// A boot, with the time that it took.
#[derive(Debug, Serialize)]
pub(super) struct Timed {
    #[serde(flatten)]
    pub boot: Boot,
    pub downtime_seconds: Option<f64>,
}

impl Status {
    /// Gathers the status of a disk.
    pub fn of(disk: &Disk) -> Result<Status> {
        let state = disk.state()?;
        let ledger = disk.files.ledger()?;
        let by = booted_by().filter(|_| disk.running.is_some());
        let timed = |boot: Option<&Boot>| boot.cloned().map(|boot| Timed { downtime_seconds: boot.downtime(), boot });
        let trial = disk.running.and(disk.trial()?).map(|_| trial(arrival::look(disk).ok()));
        let slots = disk.table.slots.keys().map(|slot| slot_status(disk, *slot)).collect::<Result<_>>()?;
        Ok(Status {
            version: 1,
            disk: disk.path.display().to_string(),
            size: disk.size,
            table: disk.table.kind,
            slots,
            running: disk.running,
            proven: state.proven,
            wanted: state.wanted,
            tries: state.tries,
            proven_before: state.before,
            damage: disk.state_damage()?,
            booted_by: by.map(|by| by.to_string()),
            trial,
            next_boot: state.next_boot(),
            next_reset: next_reset(state, disk.running, by),
            last_switch: timed(ledger.last_switch()),
            last_firmware_boot: timed(ledger.last_firmware_boot()),
            live: None,
            run: None,
        })
    }

    /// Adds the root of this system, which is one file of a slot, and the result of its configuration.
    pub fn with(self, live: Option<LiveStatus>, run: Option<Configured>) -> Status {
        Status { live, run, ..self }
    }
}

/// Describes what a reset at this moment leads to, in the words after "the next reset ".
fn next_reset(state: State, running: Option<Slot>, by: Option<BootedBy>) -> String {
    let State { wanted, proven, tries, .. } = state;
    if state.next_boot() == proven {
        let failed = if wanted == proven { "" } else { " (the last try of another slot was not confirmed)" };
        return format!("boots slot {proven}, which is proven{failed}");
    }
    let count = if tries == 1 { "once".to_owned() } else { format!("up to {tries} times") };
    let why = match by {
        Some(BootedBy::Kexec) if running == Some(wanted) => {
            ", which is confirmed after a kexec, but has not come up from the firmware yet"
        }
        _ => "",
    };
    format!("tries slot {wanted} {count}{why}; if it is not confirmed then, slot {proven}, which is proven")
}

fn trial(boot: Option<Boot>) -> Trial {
    let confirmed = Path::new(CONFIRMED).exists();
    let deadline_seconds = boot.as_ref().map_or(DEADLINE, |boot| boot.deadline);
    Trial {
        confirmed,
        confirm: boot.map_or(Confirm::Auto, |boot| boot.confirm),
        deadline_seconds,
        seconds_left: (!confirmed).then(|| deadline_seconds.saturating_sub(uptime().as_secs())),
    }
}

fn slot_status(disk: &Disk, slot: Slot) -> Result<SlotStatus> {
    let (region, partuuid) = disk.table.slots[&slot];
    let holding = disk.files.holding(slot)?;
    let image = holding.record().map(SlotFacts::from);
    let holds = match holding {
        Holding::Whole(_) => "image",
        Holding::Nothing => "nothing",
        Holding::Half => "half",
        Holding::Damaged => "damaged",
    };
    Ok(SlotStatus { slot, partition: region.number, partuuid: partuuid.to_string(), size: region.size, holds, image })
}

/// Describes the way of a jump or a boot.
pub(super) fn way(by: By) -> &'static str {
    match by {
        By::Kexec => "by kexec",
        By::Firmware => "through the firmware",
    }
}
