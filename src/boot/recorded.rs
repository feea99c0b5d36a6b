//! Values in a record that a later flipslot may have extended: an unknown one is kept as it was read, and is
//! not damage.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A value as a record holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Recorded<T> {
    /// A value that this flipslot knows.
    Known(T),
    /// The text of one that only a later flipslot knows.
    Unknown(String),
}

impl<T: Default> Default for Recorded<T> {
    fn default() -> Recorded<T> {
        Recorded::Known(T::default())
    }
}

impl<T> From<T> for Recorded<T> {
    fn from(value: T) -> Recorded<T> {
        Recorded::Known(value)
    }
}

impl<T: fmt::Display> fmt::Display for Recorded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recorded::Known(value) => value.fmt(f),
            Recorded::Unknown(text) => text.escape_debug().fmt(f),
        }
    }
}

impl<T> Recorded<T> {
    /// Returns the value, if this flipslot knows it.
    pub fn known(&self) -> Option<&T> {
        match self {
            Recorded::Known(value) => Some(value),
            Recorded::Unknown(_) => None,
        }
    }
}
