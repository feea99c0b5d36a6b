//! `flipslot watch-trial`, run by flipslot-trial.service: enforces the deadline of a slot on trial.

use crate::boot::trial::{BootedBy, Terms};
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::open::{booted_by, cmdline};
use crate::disk::installed::state_home::StateHome;
use crate::error::Result;
use crate::init::keeper;
use crate::jump::arrival::{CONFIRMED, uptime};
use crate::jump::last_resort::LastResort;
use crate::jump::watchdog::Watchdog;
use crate::jump::{arrival, restart, watchdog};
use crate::sys::watchdog::{is_active, names};
use crate::words::kernel_line::DEADLINE;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Interval at which the watchdogs are pinged and the confirmation is looked for.
const EVERY: Duration = Duration::from_secs(2);
/// Time after the start of the kernel in which a watchdog daemon of the image comes, if it comes.
const DAEMON: Duration = Duration::from_secs(180);
/// Timeout of a hardware watchdog in seconds: a system that cannot run this program for so long hangs.
const HANG: u32 = 60;

/// Waits until the running slot is confirmed; resets the machine if the deadline comes first. Writes nothing
/// before that, and does nothing that may hang before the last resort waits.
pub fn run() -> Result<()> {
    if !booted_by().is_some_and(BootedBy::is_trial) {
        keeper::relieve(); // one of the initramfs that takes this boot for a trial
        return Ok(());
    }
    let told = Terms::of_cmdline(&cmdline()).map(|terms| terms.deadline);
    let last_resort = LastResort::wait(Duration::from_secs(told.unwrap_or(DEADLINE)));
    keeper::relieve(); // that of the initramfs: this process watches from here on
    let Some(seconds) = deadline(told, noted_deadline) else {
        last_resort.call_off();
        return Ok(());
    };
    let deadline = Duration::from_secs(seconds);
    last_resort.not_before(deadline);
    crate::stderr!("flipslot: this boot is a trial: unless it is confirmed, it ends in {} s", left(deadline).as_secs());
    let mut dogs = Dogs::default();
    while !Path::new(CONFIRMED).exists() {
        if left(deadline).is_zero() {
            let why = format!("it was not confirmed within {seconds} s");
            crate::stderr!("flipslot: {why}: the machine restarts, and returns to the slot that worked");
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

/// Returns the deadline of this boot in seconds; `None` if it is not a trial. If the command line does not
/// contain one, it is `noted`; a trial that nothing can be read about has the default.
fn deadline(told: Option<u64>, noted: impl FnOnce() -> Result<Option<u64>>) -> Option<u64> {
    told.or_else(|| {
        noted().unwrap_or_else(|error| {
            crate::stderr!("flipslot: {error:#}; the deadline is {DEADLINE} s");
            Some(DEADLINE)
        })
    })
}

/// Reads the deadline in the ledger, in seconds, if this boot is a trial; the default if there is no disk.
fn noted_deadline() -> Result<Option<u64>> {
    let home = StateHome::find(None, Access::Look)?;
    if home.trial()?.is_none() {
        return Ok(None);
    }
    Ok(Some(match home {
        StateHome::Disk(disk) => arrival::look(&disk)?.deadline,
        StateHome::Nowhere => DEADLINE,
    }))
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
        for name in names() {
            if !self.0.contains_key(&name)
                && !waits_for_daemon(&name)
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

/// Returns true while a watchdog daemon of the image may still come to take the watchdog, and nothing is lost by waiting.
fn waits_for_daemon(name: &str) -> bool {
    // One that runs and does not say for how long may not wait.
    let has_time = watchdog::left(name).map_or(!is_active(name), |seconds| seconds > 30);
    uptime() < DAEMON && has_time && has_daemon(Path::new("/"))
}

/// Returns true if the system starts a watchdog daemon of its own (watchdog(8)). It needs the device that this program
/// would take, and resets a system that hangs as well; without it, its unit would fail, and with it the trial.
fn has_daemon(root: &Path) -> bool {
    const DAEMONS: [&str; 3] = ["watchdog.service", "wd_keepalive.service", "watchdog-mux.service"];
    let folders = ["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"].map(|path| root.join(path));
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let mut wants = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "wants"));
    wants.any(|wants| DAEMONS.iter().any(|unit| wants.join(unit).symlink_metadata().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_left_to_a_daemon_of_the_image() {
        let root = tempfile::tempdir().unwrap();
        let wants = root.path().join("etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wants).unwrap();
        assert!(!has_daemon(root.path()));
        std::os::unix::fs::symlink("/lib/systemd/system/watchdog.service", wants.join("watchdog.service")).unwrap();
        assert!(has_daemon(root.path()));
    }

    #[test]
    fn the_deadline_on_the_command_line_counts_and_no_disk_is_read_for_it() {
        assert_eq!(deadline(Some(90), || panic!("the disk is read")), Some(90));
    }

    #[test]
    fn a_boot_that_is_no_trial_has_no_deadline_and_one_that_cannot_be_known_has_the_default() {
        assert_eq!(deadline(None, || Ok(Some(120))), Some(120));
        assert_eq!(deadline(None, || Ok(None)), None);
        assert_eq!(deadline(None, || anyhow::bail!("the disk does not respond")), Some(DEADLINE));
    }
}
