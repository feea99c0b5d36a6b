//! `/var/lib/flipslot/run.json`: the result of the configuration, which `flipslot status` prints.

use crate::boot::trial::boot_id;
use crate::error::Result;
use crate::words::printable::plain;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Folder of what the configuration is fetched into, and of its result. `/run` may not be executed from.
pub const FOLDER: &str = "/var/lib/flipslot";
/// Name of the file.
const NAME: &str = "run.json";

/// The result of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configured {
    /// Version of this form: 1.
    pub version: u32,
    /// Source, as `flipslot.run=` names it.
    pub source: String,
    /// State of it.
    pub state: State,
    /// Exit code of what was run; `None` if it was not, or was ended by a signal.
    pub exit_code: Option<i32>,
    /// Failure in words, for people.
    pub error: Option<String>,
    /// Time of this state, in seconds since 1970.
    pub at: u64,
    /// Unique id of the boot that wrote this (proc_sys_kernel(5), random/boot_id).
    #[serde(default)]
    pub boot_id: String,
    /// Boots in a row, with this one, that began with it and were cut, or may be.
    #[serde(default)]
    pub begun: u32,
}

/// States of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The configuration is fetched, or runs.
    Running,
    /// The machine was restarted in the middle; the next boot tries again.
    Cut,
    /// The configuration has succeeded, and is not run again on this system.
    Done,
    /// The configuration has failed; the next boot tries again.
    Failed,
}

impl Configured {
    /// Reads the result; `None` if there is none.
    pub fn read() -> Result<Option<Configured>> {
        let path = Path::new(FOLDER).join(NAME);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("reading {}", path.display()))?,
        };
        let boot_id = boot_id()?;
        let unreadable = |error: serde_json::Error| {
            let error = format!("{} is damaged ({error}); the next boot writes it again", path.display());
            let (state, exit_code, source) = (State::Failed, None, String::new());
            Configured {
                version: 1,
                source,
                state,
                exit_code,
                error: Some(error),
                at: 0,
                boot_id: String::new(),
                begun: 0,
            }
        };
        Ok(Some(serde_json::from_slice(&text).map_or_else(unreadable, |read: Configured| read.in_boot(&boot_id))))
    }

    /// Returns what it says in the boot with this id: what another boot has begun was cut.
    fn in_boot(self, boot_id: &str) -> Configured {
        let is_cut = self.state == State::Running && self.boot_id != boot_id;
        if is_cut { Configured { state: State::Cut, ..self } } else { self }
    }

    /// Writes it in one step.
    pub fn write(&self) -> Result<()> {
        let path = Path::new(FOLDER).join(NAME);
        let writing = || format!("writing {}", path.display());
        let new = path.with_extension("new");
        let text = serde_json::to_string_pretty(self)? + "\n";
        let mut file = File::create(&new).with_context(writing)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(writing)?;
        fs::rename(&new, &path).with_context(writing)?;
        // The restart that it counts may come right after.
        File::open(FOLDER).and_then(|folder| folder.sync_all()).with_context(writing)
    }

    /// Returns how many boots in a row, with the next one, have begun with this configuration and were cut; `None` if it
    /// was given up.
    pub fn tries(before: Option<&Configured>, most: u32) -> Option<u32> {
        let begun = match before {
            Some(before) if before.state == State::Cut || before.begun > most => before.begun + 1,
            _ => 1,
        };
        Some(begun).filter(|begun| *begun <= most)
    }

    /// Returns the line that `status` prints.
    pub fn line(&self) -> String {
        let how = match (self.state, self.exit_code) {
            (State::Running, _) => "runs".to_owned(),
            (State::Cut, _) => "was cut by a restart of the machine; the next boot tries again".to_owned(),
            (State::Done, _) => "done".to_owned(),
            (State::Failed, Some(code)) => format!("failed with exit code {code}"),
            (State::Failed, None) => format!("failed: {}", plain(self.error.as_deref().unwrap_or_default(), 300)),
        };
        format!(
            "  run      {} {how}; its log: journalctl -u flipslot-run (OpenRC: the console)",
            plain(&self.source, 300)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(state: State) -> Configured {
        let (source, boot_id) = ("https://srv/x".to_owned(), "one".to_owned());
        Configured { version: 1, source, state, exit_code: None, error: None, at: 0, boot_id, begun: 1 }
    }

    #[test]
    fn a_configuration_that_was_cut_three_times_is_given_up_for_good() {
        let tries = |state, begun| Configured::tries(Some(&Configured { begun, ..of(state) }), 3);
        assert_eq!(Configured::tries(None, 3), Some(1));
        assert_eq!((tries(State::Cut, 1), tries(State::Cut, 3)), (Some(2), None));
        assert_eq!(tries(State::Failed, 4), None, "as it was noted when it was given up");
        assert_eq!(tries(State::Failed, 2), Some(1), "one that ends with an error is tried at each boot");
    }

    #[test]
    fn a_result_of_a_flipslot_before_is_read() {
        let text = r#"{"version":1,"source":"https://srv/x","state":"done","exit_code":0,"error":null,"at":7}"#;
        let read: Configured = serde_json::from_str(text).unwrap();
        assert_eq!((read.state, read.begun), (State::Done, 0));
    }

    #[test]
    fn what_another_boot_has_begun_was_cut() {
        assert_eq!(of(State::Running).in_boot("one").state, State::Running);
        assert_eq!(of(State::Running).in_boot("two").state, State::Cut);
        assert_eq!(of(State::Done).in_boot("two").state, State::Done);
        assert!(of(State::Cut).line().contains("was cut by a restart"));
    }
}
