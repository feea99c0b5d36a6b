//! The hardware watchdog: what resets a machine that hangs, also across a jump.

use crate::sys::watchdog;
use crate::tool::Tool;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::Write;

/// The first watchdog (kernel: watchdog/watchdog-api.rst).
const DEVICE: &str = "/dev/watchdog0";
/// What the kernel tells of it (kernel: ABI/testing/sysfs-class-watchdog).
const SYSFS: &str = "/sys/class/watchdog/watchdog0";
/// A jump may take this long before the new slot takes the watchdog over, in seconds: less would
/// reset slots that are only slow.
const SHORTEST: u32 = 60;

/// A watchdog that runs, and is this program's alone. Dropped as it is it goes on running, and
/// resets the machine.
pub struct Watchdog {
    device: File,
    /// Seconds until it resets the machine.
    pub timeout: u32,
}

/// What became of the wish for a watchdog.
pub enum Taken {
    /// It runs.
    Running(Watchdog),
    /// systemd has it, and keeps it running across the jump.
    BySystemd,
    /// There is none, or none that can be used: why.
    No(String),
}

impl Watchdog {
    /// Starts the watchdog with at most `seconds`; the longest that the hardware can, if that is
    /// less.
    pub fn start(seconds: u32) -> Taken {
        let mut device = match File::options().write(true).open(DEVICE) {
            Ok(device) => device,
            Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => return by_systemd(seconds),
            Err(_) => return Taken::No("this machine has no hardware watchdog".to_owned()),
        };
        let longest = number("max_timeout").filter(|longest| *longest > 0).unwrap_or(u32::MAX);
        for wish in [seconds.max(SHORTEST), longest, 600, 255, SHORTEST] {
            if wish <= longest && watchdog::set_timeout(&device, wish).is_ok() {
                break;
            }
        }
        match watchdog::timeout(&device) {
            Ok(timeout) if timeout >= SHORTEST => Taken::Running(Watchdog { device, timeout }),
            _ => {
                let _ = device.write_all(b"V");
                Taken::No(format!("the hardware watchdog cannot wait for {SHORTEST} s, which a boot may take"))
            }
        }
    }

    /// Starts the time anew.
    pub fn ping(&mut self) {
        if let Err(error) = self.device.write_all(b"\0") {
            eprintln!("flipslot: {DEVICE}: {error}");
        }
    }

    /// Stops it, if the hardware lets it be stopped; else it must be pinged for ever.
    pub fn stop(mut self) -> Result<(), Watchdog> {
        if number("nowayout") == Some(1) {
            return Err(self);
        }
        // The magic close: without it the driver takes the close for a crash.
        match self.device.write_all(b"V") {
            Ok(()) => Ok(()),
            Err(_) => Err(self),
        }
    }
}

/// Stops a watchdog that a killed run has left running; nothing if it does not run, if somebody has
/// it, or if it cannot be stopped.
pub fn stop_left_running() {
    let runs = fs::read_to_string(format!("{SYSFS}/state")).is_ok_and(|state| state.trim() == "active");
    if !runs || number("nowayout") == Some(1) {
        return;
    }
    if let Ok(mut device) = File::options().write(true).open(DEVICE) {
        let _ = device.write_all(b"V");
    }
}

fn number(name: &str) -> Option<u32> {
    fs::read_to_string(format!("{SYSFS}/{name}")).ok()?.trim().parse().ok()
}

/// systemd closes its watchdog before a kexec unless it is told a time for that
/// (systemd-system.conf(5), KExecWatchdogSec).
fn by_systemd(seconds: u32) -> Taken {
    let set = Tool::new("busctl")
        .args(["set-property", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"])
        .args(["org.freedesktop.systemd1.Manager", "KExecWatchdogUSec", "t"])
        .arg((u64::from(seconds) * 1_000_000).to_string())
        .run();
    match set {
        Ok(_) => Taken::BySystemd,
        Err(error) => Taken::No(format!("the hardware watchdog is in use, and systemd does not keep it: {error:#}")),
    }
}
