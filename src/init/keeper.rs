//! The keeper of a trial's deadline: a process that the first one starts, and that stays until the slot's own agent
//! watches. It needs nothing of the disk or of the system that starts in the meantime.

use crate::init::kernel_log::{Level, log};
use crate::sys::watchdog;
use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

/// First argument with which the init becomes the keeper.
pub const VERB: &str = "keep-deadline";
/// Name of the process. systemd leaves processes alone whose name begins so, until the machine restarts
/// (systemd: src/core/killall.c, "ROOT_STORAGE_DAEMONS").
const NAME: &str = "@flipslot-deadline";
/// File with the number of the process, which the root gets with `/run`.
const NUMBER: &str = "/run/flipslot/keeper.pid";
/// Interval at which watchdogs are looked for and pinged.
const EVERY: Duration = Duration::from_secs(1);
/// Timeout of a hardware watchdog in seconds, as the agent has it.
const HANG: u32 = 60;
/// Time for a console to show why the machine is reset.
const TO_READ: Duration = Duration::from_secs(3);
/// Time for disks to take what is not written yet.
const TO_WRITE: Duration = Duration::from_secs(10);
/// Time for the kernel to stop its devices.
const TO_STOP: Duration = Duration::from_secs(30);

static TRIGGER: OnceLock<File> = OnceLock::new();

/// Starts the keeper of a trial that ends `deadline` seconds after the kernel's start.
#[allow(clippy::disallowed_methods)] // nothing else runs here that a program could inherit from
pub fn start(deadline: u64) -> io::Result<()> {
    let keeper = Command::new("/init").arg0(NAME).args([VERB, &deadline.to_string()]).spawn()?;
    fs::create_dir_all("/run/flipslot")?;
    fs::write(NUMBER, keeper.id().to_string())
}

/// Keeps the deadline; never returns.
pub fn keep(deadline: u64) -> ! {
    prepare();
    // A system that takes all memory does not take this process (proc(5)).
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    let mut dogs: BTreeMap<String, File> = BTreeMap::new();
    let deadline = Duration::from_secs(deadline);
    loop {
        if since_start() >= deadline {
            reset(&format!("the trial was not confirmed within {} s", deadline.as_secs()));
        }
        // They are opened before /dev goes to the root, or never: then the agent takes them.
        for name in watchdog::names() {
            // One that does not run is left to the system that starts.
            if !dogs.contains_key(&name)
                && watchdog::is_active(&name)
                && let Ok(dog) = File::options().write(true).open(Path::new("/dev").join(&name))
            {
                let _ = watchdog::set_timeout(&dog, HANG);
                dogs.insert(name, dog);
            }
        }
        dogs.values_mut().for_each(|dog| drop(dog.write_all(b"\0")));
        thread::sleep(EVERY.min(deadline.saturating_sub(since_start())));
    }
}

/// Ends the keeper, once the caller watches the deadline; does nothing without one. Its watchdogs keep running.
pub fn relieve() {
    let number = fs::read_to_string(NUMBER).ok().and_then(|text| text.trim().parse().ok());
    let Some(process) = number.and_then(Pid::from_raw) else { return };
    let line = fs::read(format!("/proc/{}/cmdline", process.as_raw_nonzero())).unwrap_or_default();
    if line.starts_with(NAME.as_bytes()) {
        let _ = kill_process(process, Signal::KILL);
    }
    let _ = fs::remove_file(NUMBER);
}

/// Opens what is needed to reset a machine on which nothing else works, before `/proc` goes to the root.
pub fn prepare() {
    if let Ok(trigger) = File::options().write(true).open("/proc/sysrq-trigger") {
        let _ = TRIGGER.set(trigger);
    }
}

/// Says why, and resets the machine, which leads back to what worked.
pub fn reset(why: &str) -> ! {
    restart(&format!("{why}: the machine is reset, which leads back to the proven slot"))
}

/// Says why, and restarts the machine. A disk that hangs may keep it from writing what is not written yet, and a driver
/// that hangs from stopping its device: neither is waited for.
pub fn restart(why: &str) -> ! {
    log(Level::Error, why);
    thread::sleep(TO_READ);
    let (done, written) = mpsc::channel();
    // Where there is no room for another thread, nothing is written, and nothing is stopped.
    let started = thread::Builder::new().spawn(move || {
        rustix::fs::sync();
        let _ = done.send(());
    });
    if started.is_ok() {
        let _ = written.recv_timeout(TO_WRITE);
    }
    if thread::Builder::new().spawn(|| reboot(RebootCommand::Restart)).is_ok() {
        thread::sleep(TO_STOP);
    }
    if let Some(mut trigger) = TRIGGER.get() {
        let _ = trigger.write_all(b"b"); // admin-guide/sysrq.rst: at once
    }
    let _ = reboot(RebootCommand::Restart);
    // The kernel panics where its first process ends, and a trial's panic resets.
    std::process::exit(1)
}

/// Returns the time since the kernel's start.
fn since_start() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_counts_from_the_start_of_the_kernel() {
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!((since_start().as_secs_f64() - seconds).abs() < 60.0);
    }
}
