//! Controls the hardware watchdog, which resets a machine that hangs, also across a jump.

use crate::sys::watchdog::{self, SYSFS, is_active, names};
use crate::tool::Tool;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Shortest timeout that is used, in seconds: a jump may take this long before the new slot takes the
/// watchdog over, and less would reset slots that are only slow.
const SHORTEST: u32 = 60;

/// A running watchdog that only this program has open. Dropped without [`Watchdog::stop`], it goes on
/// running, and resets the machine.
pub struct Watchdog {
    name: String,
    device: File,
    /// Seconds without a ping after which it resets the machine.
    pub timeout: u32,
}

/// A watchdog that was armed for a jump.
pub enum Armed {
    /// This program has it.
    Own(Watchdog),
    /// systemd has it.
    BySystemd(KexecWatchdog),
}

/// The system after a jump, as the one that takes the watchdog over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heir {
    /// One with the agent, which does so.
    Agent,
    /// One without the agent.
    WithoutAgent,
    /// One with the agent, and without a driver for the watchdog.
    WithoutDriver,
}

impl Heir {
    /// Judges a system with or without the agent, by the modules that it has.
    pub fn of(has_agent: bool, has_module: impl FnOnce(&str) -> bool) -> Heir {
        match needed_driver() {
            _ if !has_agent => Heir::WithoutAgent,
            Some(driver) if !has_module(&driver) => Heir::WithoutDriver,
            _ => Heir::Agent,
        }
    }
}

impl Armed {
    /// Starts the hardware watchdog for a jump into a system of this name, if that can take it over.
    pub fn for_jump(into: &str, heir: Heir, deadline: u64) -> Option<Armed> {
        match heir {
            Heir::Agent => {}
            Heir::WithoutAgent => {
                crate::stderr!("flipslot: {into} has no agent: no watchdog, no deadline, no health check");
                return None;
            }
            Heir::WithoutDriver => {
                crate::stderr!("flipslot: {into} has no driver for the hardware watchdog: it stays off");
                return None;
            }
        }
        match Watchdog::arm(u32::try_from(deadline).unwrap_or(u32::MAX)) {
            Taken::Running(watchdog) => {
                crate::stderr!(
                    "flipslot: the hardware watchdog resets this machine in {} s if it hangs",
                    watchdog.timeout
                );
                Some(Armed::Own(watchdog))
            }
            Taken::BySystemd(setting) => Some(Armed::BySystemd(setting)),
            Taken::No(why) => {
                crate::stderr!("flipslot: {why}: a kernel that hangs in the jump needs a reset by hand");
                None
            }
        }
    }

    /// Undoes what was done for a jump that was given up.
    pub fn call_off(self) {
        match self {
            Armed::Own(watchdog) => drop(watchdog.stop()),
            Armed::BySystemd(setting) => setting.restore(),
        }
    }
}

/// The result of a request for a watchdog.
pub enum Taken {
    /// The watchdog is running.
    Running(Watchdog),
    /// systemd has the watchdog, and keeps it running across the jump.
    BySystemd(KexecWatchdog),
    /// There is no watchdog, or none that can be used, for this reason.
    No(String),
}

/// Returns the kernel module that drives a watchdog; `None` if it is built in, or not known.
pub fn driver(name: &str) -> Option<String> {
    let module = fs::read_link(format!("{SYSFS}/{name}/device/driver/module")).ok()?;
    Some(module.file_name()?.to_str()?.to_owned())
}

/// Returns the kernel module of this machine's watchdog that a next system needs to take it over; `None` if there is none,
/// or it is built into this kernel, and most likely into the next one.
fn needed_driver() -> Option<String> {
    driver(names().first()?)
}

impl Watchdog {
    /// Starts a watchdog with a timeout of at most `seconds`, or the longest that the hardware supports if
    /// that is less. Errors are those of opening the device, such as EBUSY.
    pub fn start(name: &str, seconds: u32) -> std::io::Result<Watchdog> {
        let device = File::options().write(true).open(Path::new("/dev").join(name))?;
        let longest = number(name, "max_timeout").filter(|longest| *longest > 0).unwrap_or(u32::MAX);
        for timeout in [seconds, longest, 600, 255, SHORTEST] {
            if timeout <= longest && watchdog::set_timeout(&device, timeout).is_ok() {
                break;
            }
        }
        let timeout = watchdog::timeout(&device).unwrap_or(0);
        Ok(Watchdog { name: name.to_owned(), device, timeout })
    }

    /// Starts the machine's first watchdog for a jump that may take `seconds`. Leaves a watchdog alone that
    /// could not be stopped again if the jump is given up.
    pub fn arm(seconds: u32) -> Taken {
        let Some(name) = names().into_iter().next() else {
            return Taken::No("this machine has no hardware watchdog".to_owned());
        };
        if number(&name, "nowayout") == Some(1) {
            return Taken::No("the hardware watchdog cannot be stopped once it runs (nowayout)".to_owned());
        }
        let too_short = format!("the hardware watchdog cannot wait for {SHORTEST} s, which a boot may take");
        if number(&name, "max_timeout").is_some_and(|longest| (1..SHORTEST).contains(&longest)) {
            return Taken::No(too_short);
        }
        match Watchdog::start(&name, seconds.max(SHORTEST)) {
            Ok(watchdog) if watchdog.timeout >= SHORTEST => Taken::Running(watchdog),
            Ok(watchdog) => {
                let _ = watchdog.stop();
                Taken::No(too_short)
            }
            Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => by_systemd(seconds),
            Err(error) => Taken::No(format!("the hardware watchdog cannot be opened ({error})")),
        }
    }

    /// Restarts the watchdog's timeout.
    pub fn ping(&mut self) {
        if let Err(error) = self.device.write_all(b"\0") {
            crate::stderr!("flipslot: {}: {error}", self.name);
        }
    }

    /// Stops the watchdog. Returns it if the hardware does not allow that; it must then be pinged for ever.
    pub fn stop(mut self) -> Result<(), Watchdog> {
        if number(&self.name, "nowayout") == Some(1) {
            return Err(self);
        }
        // The magic close: without it, the driver treats the close as a crash.
        match self.device.write_all(b"V") {
            Ok(()) => Ok(()),
            Err(_) => Err(self),
        }
    }
}

/// Stops the first watchdog if a killed run has left it running. Does nothing if it is not running, if
/// another program has it open, or if it cannot be stopped.
pub fn stop_left_running() {
    let Some(name) = names().into_iter().next() else { return };
    if is_active(&name)
        && number(&name, "nowayout") != Some(1)
        && let Ok(mut device) = File::options().write(true).open(Path::new("/dev").join(name))
    {
        let _ = device.write_all(b"V");
    }
}

/// Returns the seconds until a running watchdog resets the machine; `None` if it does not run, or does not say.
pub fn left(name: &str) -> Option<u32> {
    number(name, "timeleft").filter(|_| is_active(name))
}

fn number(name: &str, attribute: &str) -> Option<u32> {
    fs::read_to_string(format!("{SYSFS}/{name}/{attribute}")).ok()?.trim().parse().ok()
}

/// The setting of systemd for the watchdog across a kexec, as it was before it was changed.
pub struct KexecWatchdog {
    /// Microseconds.
    before: String,
}

impl KexecWatchdog {
    /// Puts the setting back, where the jump was given up.
    pub fn restore(self) {
        if let Err(error) = set_kexec_watchdog(&self.before) {
            crate::stderr!("flipslot: cannot put back systemd's KExecWatchdogSec: {error:#}");
        }
    }
}

/// Time limit for systemd's answers.
const PATIENCE: Duration = Duration::from_secs(20);

fn set_kexec_watchdog(microseconds: &str) -> crate::error::Result<()> {
    Tool::new("busctl")
        .args(["set-property", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"])
        .args(["org.freedesktop.systemd1.Manager", "KExecWatchdogUSec", "t", microseconds])
        .deadline(PATIENCE)
        .run()
        .map(drop)
}

/// Reads the setting; `busctl` prints its type and its value.
fn kexec_watchdog() -> Option<String> {
    let get = ["get-property", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"];
    let get = Tool::new("busctl").args(get).args(["org.freedesktop.systemd1.Manager", "KExecWatchdogUSec"]);
    let printed = get.deadline(PATIENCE).run().ok()?;
    Some(printed.stdout.trim().strip_prefix("t ")?.to_owned())
}

/// Asks systemd, which has the watchdog, to keep it running for `seconds` across the jump: by default systemd
/// closes it before a kexec (systemd-system.conf(5), KExecWatchdogSec).
fn by_systemd(seconds: u32) -> Taken {
    let show = ["show", "--property=RuntimeWatchdogUSec", "--value"];
    let runtime = Tool::new("systemctl").args(show).deadline(PATIENCE).run();
    if !runtime.is_ok_and(|printed| !["", "0", "infinity"].contains(&printed.stdout.trim())) {
        return Taken::No("another program has the hardware watchdog, and may stop it at the jump".to_owned());
    }
    let Some(before) = kexec_watchdog() else {
        return Taken::No("systemd has the hardware watchdog, and would stop it at the jump".to_owned());
    };
    match set_kexec_watchdog(&(u64::from(seconds) * 1_000_000).to_string()) {
        Ok(()) => Taken::BySystemd(KexecWatchdog { before }),
        Err(error) => Taken::No(format!("systemd has the hardware watchdog, and would stop it at the jump: {error:#}")),
    }
}
