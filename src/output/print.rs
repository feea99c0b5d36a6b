//! Prints results to stdout; a closed pipe is not an error.

use crate::error::Result;
use std::io::{ErrorKind, Write, stdout};

/// Prints `text`. A closed pipe is not an error: what was done is done, whether or not anyone reads about it.
pub fn say(text: &str) -> Result<()> {
    match stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Like [`say`], but adds a line feed.
pub fn say_line(line: &str) -> Result<()> {
    say(&format!("{line}\n"))
}
