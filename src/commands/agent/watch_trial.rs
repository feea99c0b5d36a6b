//! `flipslot watch-trial`, run by flipslot-trial.service: enforces the deadline of a slot on trial.

use crate::boot::ledger::DEADLINE;
use crate::boot::trial::{BootedBy, terms_of};
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::open::{Disk, booted_by, cmdline};
use crate::error::Result;
use crate::jump::arrival::{CONFIRMED, uptime};
use crate::jump::last_resort::LastResort;
use crate::jump::watchdog::Watchdog;
use crate::jump::{arrival, restart, watchdog};
use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Interval at which the watchdogs are pinged and the confirmation is looked for.
const EVERY: Duration = Duration::from_secs(2);
/// Timeout of a hardware watchdog in seconds: a system that cannot run this program for so long hangs.
const HANG: u32 = 60;

/// Waits until the running slot is confirmed; resets the machine if the deadline comes first. Writes nothing
/// before that, and does nothing that may hang before the last resort waits.
pub fn run() -> Result<()> {
    if !booted_by().is_some_and(BootedBy::is_trial) {
        return Ok(());
    }
    let told = terms_of(&cmdline()).map(|(deadline, _)| deadline);
    let last_resort = LastResort::wait(Duration::from_secs(told.unwrap_or(DEADLINE)));
    let seconds = match (told, deadline_on_disk()) {
        (Some(seconds), _) | (None, Ok(Some(seconds))) => seconds,
        (None, Ok(None)) => {
            last_resort.call_off();
            return Ok(());
        }
        (None, Err(error)) => {
            crate::tell!("flipslot: {error:#}; the deadline is {DEADLINE} s");
            DEADLINE
        }
    };
    let deadline = Duration::from_secs(seconds);
    last_resort.not_before(deadline);
    crate::tell!("flipslot: this boot is a trial: unless it is confirmed, it ends in {} s", left(deadline).as_secs());
    let mut dogs = Dogs::default();
    while !Path::new(CONFIRMED).exists() {
        if left(deadline).is_zero() {
            let why = format!("it was not confirmed within {seconds} s");
            crate::tell!("flipslot: {why}: the machine restarts, and returns to the slot that worked");
            return restart::go_back(&why);
        }
        dogs.take_and_ping();
        thread::sleep(EVERY);
    }
    last_resort.call_off();
    // A watchdog that was started before the jump may still run, before its driver is loaded.
    while !left(deadline).is_zero() && dogs.0.is_empty() {
        dogs.take_and_ping();
        thread::sleep(EVERY);
    }
    dogs.stop_or_ping_for_ever();
    Ok(())
}

/// Reads the deadline on the disk, in seconds, if this boot is a trial.
fn deadline_on_disk() -> Result<Option<u64>> {
    let disk = Disk::open(None, Access::Look)?;
    let trial = disk.trial()?;
    Ok(trial.map(|_| arrival::look(&disk)).transpose()?.map(|boot| boot.deadline))
}

fn left(deadline: Duration) -> Duration {
    deadline.saturating_sub(uptime())
}

/// Hardware watchdogs that this program has taken, by name.
#[derive(Default)]
struct Dogs(BTreeMap<String, Watchdog>);

impl Dogs {
    /// Pings the watchdogs, and takes those whose drivers were loaded in the meantime: udev loads them after
    /// this program is started. A watchdog of systemd or another program is left alone.
    fn take_and_ping(&mut self) {
        for name in watchdog::names() {
            if !self.0.contains_key(&name)
                && let Ok(dog) = Watchdog::start(&name, HANG)
            {
                self.0.insert(name, dog);
            }
        }
        self.0.values_mut().for_each(Watchdog::ping);
    }

    /// Stops the watchdogs; hardware that cannot be stopped once it was started must be pinged for ever.
    fn stop_or_ping_for_ever(self) {
        let mut endless: Vec<Watchdog> = self.0.into_values().filter_map(|dog| dog.stop().err()).collect();
        while !endless.is_empty() {
            endless.iter_mut().for_each(Watchdog::ping);
            thread::sleep(EVERY);
        }
    }
}
