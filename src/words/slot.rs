//! A slot: a partition that holds one image's root filesystem, named by one letter.

use crate::error::{Result, usage};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The name of a slot: one letter from `a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "char", try_from = "char")]
pub struct Slot(char);

impl Slot {
    /// The most slots that a disk can have: one for each letter.
    pub const MOST: u32 = 26;

    /// Returns the slot at `index`, counted from 0; `None` past `z`.
    pub fn at(index: u32) -> Option<Slot> {
        char::from_u32('a' as u32 + index).filter(char::is_ascii_lowercase).map(Slot)
    }

    /// Returns the position of the slot on its disk, counted from 0.
    pub fn index(self) -> u32 {
        self.0 as u32 - 'a' as u32
    }
}

impl FromStr for Slot {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Slot> {
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) if letter.is_ascii_lowercase() => Ok(Slot(letter)),
            _ => Err(usage(format!("'{text}' is not a slot"), "name a slot by one letter: a, b, c, …")),
        }
    }
}

impl From<Slot> for char {
    fn from(slot: Slot) -> char {
        slot.0
    }
}

impl TryFrom<char> for Slot {
    type Error = anyhow::Error;

    fn try_from(letter: char) -> Result<Slot> {
        letter.to_string().parse()
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
