//! `flipslot check-health`, run by flipslot-health.service: a slot that is healthy confirms itself.

use crate::boot::ledger::{Boot, Confirm, Moment};
use crate::boot::trial::BootedBy;
use crate::commands::confirm::confirm;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::open::{Disk, booted_by};
use crate::error::{Result, failed};
use crate::jump::arrival::CONFIRMED;
use crate::jump::{arrival, restart};
use crate::output::print::say_line;
use crate::tool::Tool;
use anyhow::Context;
use rustix::fs::{Access as Permission, access};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Folder of the user's own checks: each executable file in it is run, and must exit with code 0.
const CHECKS: &str = "/etc/flipslot/health.d";

/// Runs the health checks. Confirms a trial that passes and restarts from one that fails, unless the user is
/// to confirm it.
pub fn run() -> Result<()> {
    let disk = Disk::open(None, Access::ChangeLater)?;
    let (boot, is_trial) = (noted(&disk)?, disk.trial()?.is_some() && !Path::new(CONFIRMED).exists());
    drop(disk); // other commands may use it while the checks run
    // The deadline ends a trial whose check hangs; a boot that is not a trial has no deadline.
    let patience = Duration::from_secs(boot.deadline.max(60) * if is_trial { 1 } else { 6 });
    match healthy(patience) {
        Err(error) if is_trial && boot.confirm == Confirm::Auto => {
            let why = format!("{error:#}");
            crate::tell!("flipslot: slot {} is not healthy: {why}", boot.to);
            crate::tell!("flipslot: the machine restarts, and returns to the slot that worked");
            restart::go_back(&why)
        }
        // Not a trial, or one that the user confirms: whoever reads the journal decides.
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
                    "slot {} was not on trial, but is healthy; make it proven: flipslot confirm",
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

/// Records this boot in the ledger, and returns what is known of it. A ledger that cannot be written is not a
/// reason to give up a slot.
fn noted(disk: &Disk) -> Result<Boot> {
    arrival::note(disk, |_| {}).or_else(|error| {
        crate::tell!("flipslot: cannot record this boot in the ledger: {error:#}");
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
