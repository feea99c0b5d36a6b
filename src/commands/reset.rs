//! `flipslot reset`: lets a slot that keeps what is written forget it, at its next start.

use crate::cli::ResetArgs;
use crate::error::{Result, refused};
use crate::init::live_facts::LiveFacts;
use crate::init::overlay::RESET;
use crate::output::print::say_line;
use anyhow::Context;
use std::fs::{self, File};
use std::path::Path;

/// Asks for what the running slot keeps to be removed: the next start of this slot does so, before anything of it is used.
pub fn run(args: &ResetArgs) -> Result<()> {
    let kept = LiveFacts::read()?.and_then(|facts| facts.written).ok_or_else(|| {
        let found = "this system keeps nothing over an image";
        refused(found, "run it in a system that was started from a slot written with --overlay data")
    })?;
    let of_slot = Path::new(&kept).parent().unwrap_or(Path::new("/"));
    let mark = of_slot.join(RESET);
    if args.cancel {
        match fs::remove_file(&mark) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", mark.display()));
            }
            _ => return say_line("what this slot keeps stays"),
        }
    }
    let marking = || format!("writing {}", mark.display());
    File::create(&mark).and_then(|file| file.sync_all()).with_context(marking)?;
    File::open(of_slot).and_then(|folder| folder.sync_all()).with_context(marking)?;
    say_line(
        "what this slot keeps, of this image and earlier ones, is removed at its next start; to undo: flipslot reset --cancel",
    )
}
