//! The actions that `switch`, `rollback`, `confirm` and `cleanup` would take, printed before they take any
//! (docs/plan.md).

use crate::disk::installed::boot_files::{LEDGER, STATE};
use crate::disk::installed::open::Disk;
use crate::error::Result;
use crate::output::print::say;
use serde::Serialize;

/// The actions that a command would take; `version` is that of the JSON form.
#[derive(Debug, Serialize)]
pub struct Would {
    version: u32,
    verb: &'static str,
    disk: String,
    /// Files of the boot partition that would be written.
    boot_files: Vec<&'static str>,
    /// Sentences for people.
    would: Vec<String>,
}

/// Files that a command writes to change what boots: both copies of the state, and the ledger.
pub const STATE_AND_LEDGER: [&str; 3] = [STATE[0], STATE[1], LEDGER];

impl Would {
    /// Creates the result for `verb`: the files that it would write on the boot partition of `disk`, and
    /// sentences about everything that it would do.
    pub fn new(verb: &'static str, disk: &Disk, boot_files: &[&'static str], would: Vec<String>) -> Would {
        Would { version: 1, verb, disk: disk.path.display().to_string(), boot_files: boot_files.to_vec(), would }
    }

    /// Prints the actions, as one JSON document or as text.
    pub fn print(&self, json: bool) -> Result<()> {
        say(&if json { serde_json::to_string_pretty(self)? + "\n" } else { self.text() })
    }

    fn text(&self) -> String {
        let mut lines = self.would.clone();
        if !self.boot_files.is_empty() {
            lines.push(format!("  on the boot partition of {}: {}", self.disk, self.boot_files.join(" ")));
        }
        lines.join("\n") + "\n"
    }
}
