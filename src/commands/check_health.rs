//! `flipslot check-health`, run by flipslot-health.service: a slot that is healthy confirms itself.

use crate::boot::ledger::{Boot, Confirm, Moment};
use crate::boot::trial::BootedBy;
use crate::commands::confirm::confirm;
use crate::commands::say::say_line;
use crate::disk::Disk;
use crate::disk::boot_partition::Access;
use crate::disk::installed::booted_by;
use crate::error::{Result, failed};
use crate::jump::arrival::{self, CONFIRMED};
use crate::jump::restart;
use crate::tool::Tool;
use anyhow::Context;
use rustix::fs::{Access as Permission, access};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The user's own checks: each executable file in it is run, and has to end with exit code 0.
const CHECKS: &str = "/etc/flipslot/health.d";

/// Runs the checks. A trial that passes is confirmed, unless someone wants to do that by hand; one
/// that does not ends here.
pub fn run() -> Result<()> {
    let disk = Disk::open(None, Access::ChangeLater)?;
    let (boot, is_trial) = (noted(&disk)?, disk.trial()?.is_some() && !Path::new(CONFIRMED).exists());
    drop(disk); // others may have it while the checks run
    // A check that hangs is the deadline's business; a boot that is no trial has no deadline.
    let patience = Duration::from_secs(boot.deadline.max(60) * if is_trial { 1 } else { 6 });
    match healthy(patience) {
        Err(error) if is_trial && boot.confirm == Confirm::Auto => {
            let why = format!("{error:#}");
            crate::tell!("flipslot: slot {} is not healthy: {why}", boot.to);
            crate::tell!("flipslot: the machine restarts, which leads back to the slot that worked");
            restart::go_back(&why)
        }
        // Nothing is tried here, so there is nothing to go back from: whoever reads the journal decides.
        Err(error) => {
            crate::tell!("flipslot: slot {} is not healthy: {error:#}", boot.to);
            Ok(())
        }
        Ok(()) if is_trial && boot.confirm == Confirm::Manual => {
            say_line(&format!("slot {} is healthy; confirm it: flipslot confirm", boot.to))
        }
        Ok(()) => {
            let disk = Disk::open(None, Access::ChangeLater)?;
            disk.mend()?;
            if is_trial {
                let state = confirm(&disk)?;
                return say_line(&format!(
                    "slot {} is healthy and confirmed; slot {} is proven",
                    boot.to, state.proven
                ));
            }
            if booted_by() == Some(BootedBy::Firmware) {
                say_line(&format!(
                    "slot {} was not to be tried, but is healthy; make it proven: flipslot confirm",
                    boot.to
                ))?;
            }
            arrival::note(&disk, |boot| {
                boot.healthy.get_or_insert(Moment::now());
            })
            .map(drop)
        }
    }
}

/// What is known of this boot; a ledger that cannot be written is no reason to give up a slot.
fn noted(disk: &Disk) -> Result<Boot> {
    arrival::note(disk, |_| {}).or_else(|error| {
        crate::tell!("flipslot: the ledger does not know of this boot: {error:#}");
        arrival::look(disk)
    })
}

/// Waits until systemd has started everything, then runs the user's checks in the order of their
/// names.
fn healthy(patience: Duration) -> Result<()> {
    let started = Tool::new("systemctl").args(["is-system-running", "--wait"]).deadline(patience).run();
    if let Err(error) = started {
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
