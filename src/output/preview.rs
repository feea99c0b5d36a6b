//! The actions that `switch`, `rollback`, `confirm` and `cleanup` actions take, printed before they take any
//! (docs/plan.md).

use crate::disk::installed::boot_files::{LEDGER, STATE};
use crate::disk::installed::open::Disk;
use crate::output::document::Document;
use serde::Serialize;

/// The actions that a command actions take; `version` is that of the JSON form.
#[derive(Debug, Serialize)]
pub struct Preview {
    version: u32,
    verb: &'static str,
    /// Path of the disk; `None` where the state is on none.
    disk: Option<String>,
    /// Files of the boot partition that would be written.
    boot_files: Vec<&'static str>,
    /// Sentences for people.
    #[serde(rename = "would")]
    actions: Vec<String>,
}

/// Files that a command writes to change what boots: both copies of the state, and the ledger.
pub const STATE_AND_LEDGER: [&str; 3] = [STATE[0], STATE[1], LEDGER];

impl Preview {
    /// Creates the result for `verb`: the files that it actions write on the boot partition of `disk`, and
    /// sentences about everything that it would do.
    pub fn new(verb: &'static str, disk: &Disk, boot_files: &[&'static str], actions: Vec<String>) -> Preview {
        let disk = Some(disk.path.display().to_string());
        Preview { version: 1, verb, disk, boot_files: boot_files.to_vec(), actions }
    }

    /// Creates the result for `verb` on a system without a disk, which writes no files of a boot partition.
    pub fn without_disk(verb: &'static str, actions: Vec<String>) -> Preview {
        Preview { version: 1, verb, disk: None, boot_files: Vec::new(), actions }
    }
}

impl Document for Preview {
    fn text(&self) -> String {
        let mut lines = self.actions.clone();
        if let Some(disk) = self.disk.as_ref().filter(|_| !self.boot_files.is_empty()) {
            lines.push(format!("  on the boot partition of {disk}: {}", self.boot_files.join(" ")));
        }
        lines.join("\n") + "\n"
    }
}
