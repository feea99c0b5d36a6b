//! Documents that commands print: each has a text form for people and a JSON form for programs.

use serde::Serialize;

/// A result that can be printed in every [`Format`]. Serializing it gives the JSON form.
pub trait Document: Serialize {
    /// Formats the document for people; the last line ends with a line feed.
    fn text(&self) -> String;
}

/// Form in which a document is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text for people to read.
    Text,
    /// One JSON document for programs.
    Json,
}

impl Format {
    /// Returns the format that the flag `--json` asks for.
    pub fn of(json: bool) -> Format {
        if json { Format::Json } else { Format::Text }
    }
}
