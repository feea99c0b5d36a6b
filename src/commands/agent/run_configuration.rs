//! `flipslot run-configuration`, run by flipslot-run.service: what `flipslot.run=` names, once the network is there.

use crate::boot::configured::{Configured, FOLDER, State};
use crate::boot::run_source::{Source, WORD};
use crate::boot::trial::boot_id;
use crate::configuration::run::{execute, fetch};
use crate::disk::installed::open::cmdline;
use crate::error::{Result, failed};
use crate::oci::trust;
use crate::output::print::say_line;
use crate::words::kernel_line::{last, words};
use crate::words::origin::Origin;
use anyhow::Context;
use rustix::fs::sync;
use std::fs;

/// The most boots in a row that begin with it and are cut; after them, it is given up.
const MOST: u32 = 3; // a power cut or two are nothing of its own

/// Fetches the configuration and runs it, unless it has succeeded on this system before. Notes the result.
pub fn run() -> Result<()> {
    let words = words(&cmdline());
    let Some(value) = last(&words, WORD).filter(|value| !value.is_empty()) else { return Ok(()) };
    let before = Configured::read()?.filter(|before| before.source == value);
    if before.as_ref().is_some_and(|before| before.state == State::Done) {
        return say_line(&format!("{value} was run before, and is not run again"));
    }
    let tries = Configured::tries(before.as_ref(), MOST);
    let begun = tries.unwrap_or(MOST + 1);
    trust::bundle_if_none()?;
    let source = Source::read(value);
    // What is refused may hold a password.
    let shown = if source.is_ok() { value } else { "refused" };
    fs::create_dir_all(FOLDER).with_context(|| format!("making {FOLDER}"))?;
    let note = |state, exit_code, error: Option<String>| -> Result<()> {
        let at = Origin::of_environment(&[])?.now();
        let (source, boot_id) = (shown.to_owned(), boot_id()?);
        Configured { version: 1, source, state, exit_code, error, at, boot_id, begun }.write()
    };
    if tries.is_none() {
        let found = format!("{MOST} boots in a row were cut while it ran: it restarts the machine itself, or hangs it");
        note(State::Failed, None, Some(found.clone()))?;
        return Err(failed(format!("{value} is not run: {found}"), "let it end before it restarts the machine"));
    }
    note(State::Running, None, None)?;
    let ended = source.and_then(|source| execute(&source, &fetch(&source)?));
    match ended {
        Ok(Some(0)) => {
            sync(); // what it wrote is there before it counts as done
            note(State::Done, Some(0), None)?;
            say_line(&format!("{value} has succeeded"))
        }
        Ok(code) => {
            let how =
                code.map_or_else(|| "was ended by a signal".to_owned(), |code| format!("ended with exit code {code}"));
            note(State::Failed, code, Some(how.clone()))?;
            Err(failed(format!("{value} {how}"), "see its log: journalctl -u flipslot-run"))
        }
        Err(error) => {
            note(State::Failed, None, Some(format!("{error:#}")))?;
            Err(error)
        }
    }
}
