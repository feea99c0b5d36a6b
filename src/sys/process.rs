//! Child processes that do not outlive this one.
#![allow(unsafe_code)]

use rustix::process::{Signal, set_parent_process_death_signal};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the kernel kill the child when the thread that starts it ends, however it ends
/// (prctl(2), PR_SET_PDEATHSIG), and puts the child into a process group of its own, so that a
/// deadline can kill it together with everything it has started.
pub fn die_with_us(command: &mut Command) {
    command.process_group(0);
    // SAFETY: between fork and exec the closure makes one system call; it allocates nothing and
    // takes no lock, as signal-safety(7) asks.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}
