//! Finds and undoes what a run that was killed on its way to a jump has left: a loaded kernel, a running
//! watchdog.

use crate::boot::state;
use crate::boot::state::State;
use crate::disk::installed::open::Disk;
use crate::error::Result;
use crate::jump::{kexec, restart, watchdog};
use anyhow::Context;
use std::fs;
use std::path::Path;

/// Path of a marker that exists from before the first effect of a jump until the jump is given up; `/run` is
/// in memory, and ends with the jump.
const MARK: &str = "/run/flipslot.jump";
/// Directory of private mounts; empty if no process uses it.
const PLACE: &str = "/run/flipslot";

/// A jump that has begun and may still fail; dropping this undoes its effects.
pub struct Begun {
    /// Set once a kernel was loaded.
    pub loaded: bool,
}

impl Begun {
    /// Notes that a jump begins, before its first effect.
    pub fn note() -> Result<Begun> {
        fs::write(MARK, "").with_context(|| format!("writing {MARK}"))?;
        Ok(Begun { loaded: false })
    }

    /// Notes the state on the disk and the one that is about to replace it.
    pub fn note_states(&self, before: State, after: State) -> Result<()> {
        fs::write(MARK, [before.render(), after.render()].concat()).with_context(|| format!("writing {MARK}"))
    }

    /// Keeps the effects: the jump goes on without this program.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.loaded {
            kexec::unload();
        }
        unmark();
    }
}

/// Returns what a killed run has left of a jump from this system, as phrases for people.
pub fn find(disk: &Disk) -> Vec<&'static str> {
    // The lock on another disk than the running one does not keep a process from jumping.
    let is_left = disk.running.is_some() && Path::new(MARK).exists() && !restart::is_stopping();
    if is_left { vec!["a jump that was prepared and not made"] } else { Vec::new() }
}

/// Undoes what a killed run has left, and returns what that was. `disk` is locked: no other process is on its
/// way to a jump.
pub fn remove(disk: &Disk) -> Result<Vec<&'static str>> {
    let found = find(disk);
    if !found.is_empty() {
        let states = fs::read(MARK).unwrap_or_default();
        let (before, after) = states.split_at(states.len().min(state::SIZE));
        if let (Some(before), Some(after)) = (State::parse(before), State::parse(after))
            && disk.state()? == after
            && before != after
        {
            disk.files.write_state(before)?;
        }
        if kexec::is_loaded() {
            kexec::unload();
        }
        watchdog::stop_left_running();
        unmark();
    }
    if disk.running.is_some() {
        // Only an empty directory is removed, and nothing needs it.
        let _ = fs::remove_dir(PLACE);
    }
    Ok(found)
}

fn unmark() {
    if let Err(error) = fs::remove_file(MARK) {
        crate::stderr!("flipslot: {MARK}: {error}");
    }
}
