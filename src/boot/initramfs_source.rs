//! The origin of a slot's initramfs, as requested and as decided.

use crate::boot::recorded::Recorded;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Requested origin of the initramfs of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The image's own, if it has one that fits; otherwise one made by dracut, or flipslot's own if there is none
    #[default]
    Auto,
    /// The image's own
    Image,
    /// One made by the image's dracut
    Dracut,
    /// One with flipslot's own init, made from the image's files alone
    Flipslot,
    /// Like flipslot, with all that the image's dracut has in a second stage, of which a boot reads only what it uses
    #[serde(rename = "two-stage")]
    TwoStage,
}

/// Actual origin of the initramfs of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MadeBy {
    /// Made by the image's dracut, when the slot was written.
    #[default]
    Dracut,
    /// Brought by the image.
    Image,
    /// Made by flipslot, with its own init.
    Flipslot,
    /// Made by flipslot, with what dracut made in a second stage.
    #[serde(rename = "two-stage")]
    TwoStage,
}

impl Recorded<MadeBy> {
    /// Describes the origin for people.
    pub fn in_words(&self) -> String {
        match self {
            Recorded::Known(MadeBy::Dracut) => "made by dracut".to_owned(),
            Recorded::Known(MadeBy::Image) => "the image's own".to_owned(),
            Recorded::Known(MadeBy::Flipslot) => "made by flipslot, with an init of its own".to_owned(),
            Recorded::Known(MadeBy::TwoStage) => "made by flipslot, with a second stage by dracut".to_owned(),
            Recorded::Unknown(_) => format!("made by {self}"),
        }
    }
}

impl fmt::Display for MadeBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MadeBy::Dracut => "dracut",
            MadeBy::Image => "image",
            MadeBy::Flipslot => "flipslot",
            MadeBy::TwoStage => "two-stage",
        })
    }
}
