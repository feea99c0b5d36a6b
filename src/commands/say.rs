//! Results on stdout: what was done is done, whether or not anyone reads about it.

use crate::error::Result;
use std::io::{ErrorKind, Write, stdout};

/// Prints `text`. That nobody reads it is no error.
pub fn say(text: &str) -> Result<()> {
    match stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Prints a line.
pub fn say_line(line: &str) -> Result<()> {
    say(&format!("{line}\n"))
}
