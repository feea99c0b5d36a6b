//! What a run that was killed on its way to a jump has left: a loaded kernel, a running watchdog.

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
    _private: (),
}

impl Begun {
    /// Notes that a jump begins.
    pub fn note() -> Result<Begun> {
        fs::write(MARK, "").with_context(|| format!("writing {MARK}"))?;
        Ok(Begun { _private: () })
    }

    /// The jump goes on without this program.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        undo();
    }
}

/// Takes back what a killed run has left; returns what. Only who has the disk's lock may ask: nobody
/// else is on his way to a jump then.
pub fn remove() -> Vec<&'static str> {
    let mut removed = Vec::new();
    if Path::new(MARK).exists() && !restart::is_stopping() {
        undo();
        removed.push("a jump that was prepared and not made");
    }
    // Only an empty one goes, and nobody misses it.
    let _ = fs::remove_dir(PLACE);
    removed
}

fn undo() {
    if kexec::is_loaded() {
        kexec::unload();
    }
    watchdog::stop_left_running();
    if let Err(error) = fs::remove_file(MARK) {
        eprintln!("flipslot: {MARK}: {error}");
    }
}
