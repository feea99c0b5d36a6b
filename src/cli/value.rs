//! Values that their own types parse, with errors that say what to write instead.

use crate::error;
use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// Parses the value of a flag, for clap: fails with the error of the type's own parser.
pub fn value<T: FromStr<Err = anyhow::Error>>(text: &str) -> Result<T, Unfit> {
    text.parse().map_err(Unfit)
}

/// An error of a value's own parser, which clap passes on.
#[derive(Debug)]
pub struct Unfit(anyhow::Error);

impl Unfit {
    /// Returns what to write instead, if the error says so.
    pub fn hint(&self) -> Option<&str> {
        error::hint(&self.0)
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl Error for Unfit {}
