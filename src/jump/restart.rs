//! Stopping this system: by systemd, which stops services and unmounts, or without it.

use crate::disk::Disk;
use crate::disk::boot_partition::Access;
use crate::error::Result;
use crate::jump::arrival::{self, CONFIRMED};
use crate::jump::kexec;
use crate::tool::Tool;
use anyhow::Context;
use rustix::fs::sync;
use rustix::system::{RebootCommand, reboot};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long the kernel may take to make all filesystems read-only, which it does by itself.
const REMOUNT: Duration = Duration::from_secs(2);

/// How long flushing may take.
const FLUSH: Duration = Duration::from_secs(20);
/// How long systemd may take to accept a request.
const SYSTEMCTL: Duration = Duration::from_secs(60);

/// What comes after this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// The kernel that was loaded.
    Kexec,
    /// The firmware.
    Firmware,
}

/// Whether systemd runs this system (sd_booted(3)).
fn has_systemd() -> bool {
    Path::new("/run/systemd/system").exists()
}

/// Stops this system. With systemd it returns once systemd has begun, and services stop after.
pub fn stop(into: Into) -> Result<()> {
    if into == Into::Firmware && kexec::is_loaded() {
        kexec::unload(); // else systemd, or the kernel's own way down, may take it for the next system
    }
    if !has_systemd() {
        return force(into);
    }
    let systemctl = Tool::new("systemctl")
        .args(["--no-block", if into == Into::Kexec { "kexec" } else { "reboot" }])
        // A restart shall reach the firmware, whatever else is prepared (systemctl(1)).
        .variable("SYSTEMCTL_SKIP_AUTO_KEXEC", "1")
        .variable("SYSTEMCTL_SKIP_AUTO_SOFT_REBOOT", "1")
        .deadline(SYSTEMCTL)
        .hint("see what systemd says: systemctl status; journalctl -b -e");
    systemctl.run().map(drop)
}

/// Stops this system at once: what is written is flushed, and no service is asked.
pub fn force(into: Into) -> Result<()> {
    // A disk that hangs must not keep the machine: what can be flushed is flushed by then.
    let flushed = thread::spawn(sync);
    let begin = Instant::now();
    while !flushed.is_finished() && begin.elapsed() < FLUSH {
        thread::sleep(Duration::from_millis(50));
    }
    // kernel: admin-guide/sysrq.rst; a kernel without it has been told to sync, at least.
    if fs::write("/proc/sysrq-trigger", "u").is_ok() {
        thread::sleep(REMOUNT);
    }
    let command = if into == Into::Kexec { RebootCommand::Kexec } else { RebootCommand::Restart };
    reboot(command).context("restarting the machine (reboot(2))")
}

/// Whether this system is already on its way down.
pub fn is_stopping() -> bool {
    // The exit code tells the state too, so an error is an answer.
    has_systemd()
        && Tool::new("systemctl")
            .arg("is-system-running")
            .deadline(Duration::from_secs(10))
            .run()
            .is_err_and(|error| format!("{error:#}").contains("stopping"))
}

/// How long systemd may take to stop a system that is not healthy.
const PATIENCE: Duration = Duration::from_secs(90);

/// Restarts a trial that has failed and is not confirmed, and notes why. The disk's state is left alone: it still says
/// which slot works.
pub fn go_back(why: &str) -> Result<()> {
    if Path::new(CONFIRMED).exists() {
        return Ok(()); // somebody was faster
    }
    let noted = Disk::open(None, Access::Change)
        .and_then(|disk| arrival::note(&disk, |boot| boot.failed = Some(why.chars().take(500).collect())));
    if let Err(error) = noted {
        crate::tell!("flipslot: noting that in the ledger: {error:#}");
    }
    if let Err(error) = stop(Into::Firmware) {
        crate::tell!("flipslot: {error:#}");
        return force(Into::Firmware);
    }
    // systemd ends this program on its way down, and what it does not end in time is reset.
    thread::sleep(PATIENCE);
    force(Into::Firmware)
}
