//! What a run that was killed on its way to a jump has left: a loaded kernel, a running watchdog.

use crate::boot::state::{self, State};
use crate::disk::Disk;
use crate::error::Result;
use crate::jump::{kexec, restart, watchdog};
use anyhow::Context;
use std::fs;
use std::path::Path;

/// Stands there from before the first effect of a jump until it is given up; the memory that it is
/// in goes with the jump.
const MARK: &str = "/run/flipslot.jump";
/// The place of private mounts, an empty directory when nobody has one.
const PLACE: &str = "/run/flipslot";

/// A jump that has begun and may still fail: then its effects are taken back.
pub struct Begun {
    /// Whether a kernel was loaded.
    pub loaded: bool,
}

impl Begun {
    /// Notes that a jump begins, and what the disk says before it.
    pub fn note() -> Result<Begun> {
        fs::write(MARK, "").with_context(|| format!("writing {MARK}"))?;
        Ok(Begun { loaded: false })
    }

    /// Notes which state is about to become which.
    pub fn note_states(&self, before: State, after: State) -> Result<()> {
        fs::write(MARK, [before.render(), after.render()].concat()).with_context(|| format!("writing {MARK}"))
    }

    /// The jump goes on without this program.
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

/// What a killed run has left of a jump from this system, for people.
pub fn find(disk: &Disk) -> Vec<&'static str> {
    // Another disk's lock keeps nobody from jumping.
    let is_left = disk.running.is_some() && Path::new(MARK).exists() && !restart::is_stopping();
    if is_left { vec!["a jump that was prepared and not made"] } else { Vec::new() }
}

/// Takes it back; returns what. `disk` is locked: nobody else is on his way to a jump.
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
        // Only an empty one goes, and nobody misses it.
        let _ = fs::remove_dir(PLACE);
    }
    Ok(found)
}

fn unmark() {
    if let Err(error) = fs::remove_file(MARK) {
        crate::tell!("flipslot: {MARK}: {error}");
    }
}
