//! `flipslot watch-trial`, run by flipslot-trial.service: the deadline of a slot on trial.

use crate::boot::ledger::DEADLINE;
use crate::boot::trial::BootedBy;
use crate::disk::Disk;
use crate::disk::boot_partition::Access;
use crate::disk::installed::booted_by;
use crate::error::Result;
use crate::jump::arrival::{self, CONFIRMED, uptime};
use crate::jump::restart;
use crate::jump::watchdog::{Taken, Watchdog};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How often the watchdog is pinged and the confirmation is looked for.
const EVERY: Duration = Duration::from_secs(2);
/// What the hardware watchdog gets, in seconds: a system that cannot run this program for so long
/// hangs.
const HANG: u32 = 60;

/// Waits until the running slot is confirmed; resets the machine if the deadline comes first. A
/// boot that is no trial is only noted in the ledger.
pub fn run() -> Result<()> {
    let noted = note();
    // Whatever is wrong with the disk, a trial has an end.
    let seconds = match noted {
        Ok(None) => return Ok(()),
        Ok(Some(deadline)) => deadline,
        Err(error) if booted_by().is_some_and(BootedBy::is_trial) => {
            eprintln!("flipslot: {error:#}; the deadline is {DEADLINE} s");
            DEADLINE
        }
        Err(error) => return Err(error),
    };
    let deadline = Duration::from_secs(seconds);
    eprintln!("flipslot: this boot is a trial: unless it is confirmed, it ends in {} s", left(deadline).as_secs());
    let mut watchdog = match Watchdog::start(HANG) {
        Taken::Running(watchdog) => Some(watchdog),
        Taken::BySystemd | Taken::No(_) => None,
    };
    while !Path::new(CONFIRMED).exists() {
        if left(deadline).is_zero() {
            return give_up(deadline);
        }
        if let Some(watchdog) = &mut watchdog {
            watchdog.ping();
        }
        thread::sleep(EVERY);
    }
    let mut endless = watchdog.and_then(|watchdog| watchdog.stop().err());
    // Hardware that cannot be stopped once it was started has to be pinged for ever.
    while let Some(watchdog) = &mut endless {
        watchdog.ping();
        thread::sleep(EVERY);
    }
    Ok(())
}

/// Notes the boot; the deadline in seconds, if it is a trial.
fn note() -> Result<Option<u64>> {
    let disk = Disk::open(None, Access::Change)?;
    let boot = arrival::note(&disk, |_| {})?;
    Ok(disk.trial()?.map(|_| boot.deadline))
}

fn left(deadline: Duration) -> Duration {
    deadline.saturating_sub(uptime())
}

/// The trial has failed: the disk still says which slot works.
fn give_up(deadline: Duration) -> Result<()> {
    let why = format!("nobody confirmed it within {} s", deadline.as_secs());
    eprintln!("flipslot: {why}: the machine restarts, which leads back to the slot that worked");
    restart::go_back(&why)
}
