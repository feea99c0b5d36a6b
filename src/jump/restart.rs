//! Stops this system: by systemd, which stops services and unmounts, or without it.

use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::state_home::StateHome;
use crate::error::Result;
use crate::jump::arrival::CONFIRMED;
use crate::jump::{arrival, kexec};
use crate::tool::Tool;
use anyhow::Context;
use rustix::fs::sync;
use rustix::system::{RebootCommand, reboot};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Time for the kernel to make all filesystems read-only, which it does in the background.
const REMOUNT: Duration = Duration::from_secs(2);

/// Time limit for flushing what was written.
const FLUSH: Duration = Duration::from_secs(20);
/// Time limit for systemd to accept a request.
const SYSTEMCTL: Duration = Duration::from_secs(60);

/// The next system after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// The kernel that was loaded for kexec.
    Kexec,
    /// The system that the firmware starts.
    Firmware,
}

/// Returns whether systemd runs this system (sd_booted(3)).
fn has_systemd() -> bool {
    Path::new("/run/systemd/system").exists()
}

/// Stops this system. Under systemd, returns once systemd has begun; services stop after that.
pub fn stop(into: Into) -> Result<()> {
    if into == Into::Firmware && kexec::is_loaded() {
        kexec::unload(); // otherwise systemd, or the kernel as it goes down, may start it as the next system
    }
    if !has_systemd() {
        return force(into);
    }
    let systemctl = Tool::new("systemctl")
        .args(["--no-block", if into == Into::Kexec { "kexec" } else { "reboot" }])
        // A restart must reach the firmware, whatever else is prepared (systemctl(1)).
        .variable("SYSTEMCTL_SKIP_AUTO_KEXEC", "1")
        .variable("SYSTEMCTL_SKIP_AUTO_SOFT_REBOOT", "1")
        .deadline(SYSTEMCTL)
        .hint("see what systemd says: systemctl status; journalctl -b -e");
    systemctl.run().map(drop)
}

/// Stops this system at once: flushes what was written, and stops no service.
pub fn force(into: Into) -> Result<()> {
    // A disk that does not respond must not block the restart: what can be flushed is flushed by then.
    let flushed = thread::spawn(sync);
    let begin = Instant::now();
    while !flushed.is_finished() && begin.elapsed() < FLUSH {
        thread::sleep(Duration::from_millis(50));
    }
    // kernel: admin-guide/sysrq.rst; a kernel without SysRq has at least been asked to sync.
    if fs::write("/proc/sysrq-trigger", "u").is_ok() {
        thread::sleep(REMOUNT);
    }
    let command = if into == Into::Kexec { RebootCommand::Kexec } else { RebootCommand::Restart };
    reboot(command).context("restarting the machine (reboot(2))")
}

/// Returns whether this system is already on its way down.
pub fn is_stopping() -> bool {
    let systemctl = Tool::new("systemctl").arg("is-system-running").deadline(Duration::from_secs(10));
    has_systemd() && reports_stopping(&systemctl)
}

/// Returns true if this run of `systemctl is-system-running` prints the state `stopping`. The exit code is 0 in
/// the state `running` and 1 in any other (systemctl(1)); systemd that does not answer is not stopping.
fn reports_stopping(systemctl: &Tool) -> bool {
    systemctl.run_for(&[1]).is_ok_and(|(_, printed)| printed.stdout.trim() == "stopping")
}

/// Time limit for systemd to stop a system that is not healthy.
const PATIENCE: Duration = Duration::from_secs(90);

/// Notes in the ledger why a trial has failed, if there is a disk with one.
fn note_failure(why: &str) -> Result<()> {
    let StateHome::Disk(disk) = StateHome::find(None, Access::Change)? else { return Ok(()) };
    arrival::note(&disk, |boot| boot.failed = Some(why.chars().take(500).collect())).map(drop)
}

/// Restarts the machine if a trial has failed and is not confirmed, and notes why. Leaves the state on the
/// disk alone: it still says which slot works.
pub fn go_back(why: &str) -> Result<()> {
    if Path::new(CONFIRMED).exists() {
        return Ok(()); // confirmed in the meantime
    }
    if let Err(error) = note_failure(why) {
        crate::stderr!("flipslot: noting the failure in the ledger: {error:#}");
    }
    if let Err(error) = stop(Into::Firmware) {
        crate::stderr!("flipslot: {error:#}");
        return force(Into::Firmware);
    }
    // systemd ends this program on its way down; if it does not do so in time, the machine is reset.
    thread::sleep(PATIENCE);
    force(Into::Firmware)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_state_that_systemctl_prints_says_that_the_system_stops() {
        let is_stopping = |script: &str| reports_stopping(&Tool::new("sh").args(["-c", script]));
        assert!(is_stopping("echo stopping; exit 1"));
        assert!(!is_stopping("echo degraded; echo 'a unit is stopping' >&2; exit 1"));
        assert!(!is_stopping("echo running"));
        assert!(!is_stopping("echo 'stopping is unknown' >&2; exit 4"));
    }
}
