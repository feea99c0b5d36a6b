//! Resets the machine when a trial has failed so badly that nothing else can: a thread that needs no disk, no
//! systemd and no other program.

use crate::jump::arrival::{CONFIRMED, uptime};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::system::{RebootCommand, reboot};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Time to wait beyond the deadline, which leaves room for the usual way back.
const GRACE: Duration = Duration::from_secs(150);
/// Interval between checks.
const EVERY: Duration = Duration::from_secs(5);
/// Value for a deadline that never comes.
const NEVER: u64 = u64::MAX;

/// The thread that resets the machine, and the deadline that it waits for, in seconds since the kernel
/// started.
pub struct LastResort {
    deadline: Arc<AtomicU64>,
}

impl LastResort {
    /// Starts the thread. From then on all that it needs is open and in memory.
    pub fn wait(deadline: Duration) -> LastResort {
        if let Err(errno) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
            crate::stderr!("flipslot: this program cannot be locked in memory, and may be swapped out: {errno}");
        }
        let shared = Arc::new(AtomicU64::new(deadline.as_secs()));
        let watched = Arc::clone(&shared);
        let trigger = File::options().write(true).open("/proc/sysrq-trigger");
        thread::spawn(move || {
            loop {
                thread::sleep(EVERY);
                let deadline = watched.load(Ordering::Relaxed);
                if deadline == NEVER || Path::new(CONFIRMED).exists() {
                    return;
                }
                if uptime() > Duration::from_secs(deadline).saturating_add(GRACE) {
                    // kernel: admin-guide/sysrq.rst; then reboot(2), which goes through the drivers.
                    if let Ok(mut trigger) = trigger {
                        let _ = trigger.write_all(b"b");
                    }
                    let _ = reboot(RebootCommand::Restart);
                    return;
                }
            }
        });
        LastResort { deadline: shared }
    }

    /// Replaces the deadline, which counts from the start of the kernel.
    pub fn not_before(&self, deadline: Duration) {
        self.deadline.store(deadline.as_secs(), Ordering::Relaxed);
    }

    /// Calls the reset off; the thread ends at its next check.
    pub fn call_off(&self) {
        self.deadline.store(NEVER, Ordering::Relaxed);
    }
}
