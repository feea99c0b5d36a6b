//! Prints results to stdout; a closed pipe is not an error.

use crate::error::Result;
use crate::output::document::{Document, Format};
use crate::words::printable::lines;
use std::io::{ErrorKind, Write, stdout};

/// Prints a document. Fails if stdout cannot be written; a closed pipe is not an error.
pub fn print(document: &impl Document, format: Format) -> Result<()> {
    match format {
        Format::Text => say(&lines(&document.text())),
        Format::Json => say_line(&serde_json::to_string_pretty(document)?),
    }
}

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
