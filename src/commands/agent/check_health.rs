//! `flipslot check-health`, run by flipslot-health.service: a slot that is healthy confirms itself.

use crate::boot::ledger::{Boot, Confirm, Moment};
use crate::boot::trial::{BootedBy, Terms};
use crate::commands::confirm::confirm;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::open::{Disk, booted_by, cmdline};
use crate::disk::installed::state_home::StateHome;
use crate::error::{Result, failed};
use crate::jump::arrival::CONFIRMED;
use crate::jump::{arrival, restart};
use crate::output::print::say_line;
use crate::tool::Tool;
use anyhow::Context;
use rustix::fs::{Access as Permission, access};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Interval at which systemd is asked for its state.
const EVERY: Duration = Duration::from_millis(500);
/// Folder of the user's own checks: each executable file in it is run, and must exit with code 0.
const CHECKS: &str = "/etc/flipslot/health.d";

/// Runs the health checks. Confirms a trial that passes and restarts from one that fails, unless the user is
/// to confirm it.
pub fn run() -> Result<()> {
    // The disk is closed while the checks run: other commands may use it.
    let boot = ThisBoot::of(&StateHome::find(None, Access::ChangeLater)?)?;
    let health = healthy(boot.patience());
    let name = &boot.name;
    if let Err(error) = &health {
        crate::stderr!("flipslot: {name} is not healthy: {error:#}");
    }
    match action(&health, boot.trial) {
        Action::GoBack(why) => {
            crate::stderr!("flipslot: the machine restarts, and returns to the slot that worked");
            restart::go_back(&why)
        }
        Action::LeaveToUser => Ok(()),
        Action::AskUser => say_line(&format!("{name} is healthy; confirm it: flipslot confirm")),
        Action::Confirm => say_line(&match confirm(&StateHome::find(None, Access::ChangeLater)?)? {
            Some(state) => format!("{name} is healthy and confirmed; slot {} is proven", state.proven),
            None => {
                format!("{name} is healthy and confirmed; it runs from no disk, so a reset boots what it did before")
            }
        }),
        Action::Note => note_healthy(name),
    }
}

/// Facts about the running system, for its health check.
struct ThisBoot {
    /// Name of the system for people: `slot b`.
    name: String,
    /// Seconds after the kernel's start at which an unconfirmed trial ends.
    deadline: u64,
    trial: Trial,
}

/// Means of ending the trial of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trial {
    /// The system is not on trial, or is confirmed already.
    Over,
    /// The health check confirms it.
    ByAgent,
    /// A person confirms it.
    ByUser,
}

impl ThisBoot {
    /// Reads the facts from the ledger; without a disk, from the command line of the kernel.
    fn of(home: &StateHome) -> Result<ThisBoot> {
        let (name, deadline, confirm) = match home {
            StateHome::Disk(disk) => {
                let boot = noted(disk)?;
                (format!("slot {}", boot.to), boot.deadline, boot.confirm)
            }
            StateHome::Nowhere => {
                let Terms { deadline, confirm } = Terms::of_cmdline(&cmdline()).unwrap_or_default();
                ("this system".to_owned(), deadline, confirm)
            }
        };
        let is_over = home.trial()?.is_none() || Path::new(CONFIRMED).exists();
        let trial = match confirm {
            _ if is_over => Trial::Over,
            Confirm::Auto => Trial::ByAgent,
            Confirm::Manual => Trial::ByUser,
        };
        Ok(ThisBoot { name, deadline, trial })
    }

    /// Returns the time limit of a check. The deadline ends a trial whose check hangs; a boot that is not a
    /// trial has no deadline.
    fn patience(&self) -> Duration {
        Duration::from_secs(self.deadline.max(60).saturating_mul(if self.trial == Trial::Over { 6 } else { 1 }))
    }
}

/// Consequence of a health check.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    /// Restart the machine, for this reason.
    GoBack(String),
    /// Do nothing: the journal says why the system is not healthy.
    LeaveToUser,
    /// Say that the system can be confirmed.
    AskUser,
    /// Confirm the system.
    Confirm,
    /// Record that a system that is not on trial is healthy.
    Note,
}

fn action(health: &Result<()>, trial: Trial) -> Action {
    match (health, trial) {
        (Err(error), Trial::ByAgent) => Action::GoBack(format!("{error:#}")),
        (Err(_), Trial::ByUser | Trial::Over) => Action::LeaveToUser,
        (Ok(()), Trial::ByUser) => Action::AskUser,
        (Ok(()), Trial::ByAgent) => Action::Confirm,
        (Ok(()), Trial::Over) => Action::Note,
    }
}

/// Records that a system that is not on trial is healthy.
fn note_healthy(name: &str) -> Result<()> {
    let StateHome::Disk(disk) = StateHome::find(None, Access::ChangeLater)? else {
        return say_line(&format!("{name} is healthy"));
    };
    disk.repair_state_block()?;
    if booted_by() == Some(BootedBy::Firmware) {
        say_line(&format!("{name} was not on trial, but is healthy; make it proven: flipslot confirm"))?;
    }
    arrival::note(&disk, |boot| {
        boot.healthy.get_or_insert(Moment::now());
    })
    .map(drop)
}

/// Records this boot in the ledger, and returns what is known of it. A ledger that cannot be written is not a
/// reason to give up a slot.
fn noted(disk: &Disk) -> Result<Boot> {
    arrival::note(disk, |_| {}).or_else(|error| {
        crate::stderr!("flipslot: cannot record this boot in the ledger: {error:#}");
        arrival::look(disk)
    })
}

/// Waits until systemd has started everything, then runs the user's checks in the order of their
/// names.
fn healthy(patience: Duration) -> Result<()> {
    if let Err(error) = started(patience) {
        let units = Tool::new("systemctl").args(["--failed", "--plain", "--no-legend"]).run();
        let units = units.map(|printed| printed.stdout).unwrap_or_default();
        let names: Vec<&str> = units.lines().filter_map(|line| line.split_whitespace().next()).collect();
        let hint = "see why: systemctl status; journalctl -b";
        return Err(match names.is_empty() {
            true => error,
            false => failed(format!("units failed to start: {}", names.join(", ")), hint),
        });
    }
    for check in checks()? {
        Tool::new(&check).deadline(patience).run().context("running a health check")?;
    }
    Ok(())
}

/// Waits until systemd has started everything; fails if that did not work out, or takes longer than `patience`. Asks
/// again and again, because systemd before 240 has no `is-system-running --wait`.
fn started(patience: Duration) -> Result<()> {
    let state = Tool::new("systemctl").arg("is-system-running").deadline(patience);
    let begin = Instant::now();
    loop {
        // One answer that does not come says nothing: systemd may be restarting itself.
        let said = state.run_for(&[0, 1]).map_or_else(|_| String::new(), |(_, printed)| printed.stdout);
        match said.trim() {
            "running" => return Ok(()),
            // While it stops, this program is ended soon.
            "initializing" | "starting" | "stopping" | "unknown" | "offline" | "" if begin.elapsed() < patience => {
                thread::sleep(EVERY);
            }
            other => {
                let found = format!("the system is {other} after {} s", begin.elapsed().as_secs());
                return Err(failed(found, "see why: systemctl status; journalctl -b"));
            }
        }
    }
}

fn checks() -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(CHECKS) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("listing {CHECKS}"))?,
    };
    let mut checks = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("listing {CHECKS}"))?.path();
        if path.is_file() && access(&path, Permission::EXEC_OK).is_ok() {
            checks.push(path);
        }
    }
    checks.sort();
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trial_that_the_agent_confirms_is_confirmed_or_restarted() {
        let sick = || anyhow::bail!("units failed to start: a.service");
        let why = "units failed to start: a.service".to_owned();
        assert_eq!(action(&sick(), Trial::ByAgent), Action::GoBack(why));
        assert_eq!(action(&sick(), Trial::ByUser), Action::LeaveToUser);
        assert_eq!(action(&sick(), Trial::Over), Action::LeaveToUser);
        assert_eq!(action(&Ok(()), Trial::ByAgent), Action::Confirm);
        assert_eq!(action(&Ok(()), Trial::ByUser), Action::AskUser);
        assert_eq!(action(&Ok(()), Trial::Over), Action::Note);
    }

    #[test]
    fn a_boot_that_is_not_a_trial_has_more_time() {
        let boot = |deadline, trial| ThisBoot { name: "slot b".to_owned(), deadline, trial };
        assert_eq!(boot(90, Trial::ByAgent).patience(), Duration::from_secs(90));
        assert_eq!(boot(10, Trial::ByUser).patience(), Duration::from_secs(60));
        assert_eq!(boot(90, Trial::Over).patience(), Duration::from_secs(540));
    }
}
