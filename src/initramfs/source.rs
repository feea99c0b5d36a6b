//! Where a slot's initramfs comes from, as asked for and as it was decided.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Requested origin of the initramfs of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The image's own, if it has one that fits; otherwise one made by dracut
    #[default]
    Auto,
    /// The image's own
    Image,
    /// One made by the image's dracut
    Dracut,
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
}

impl MadeBy {
    /// Describes the origin for people.
    pub fn in_words(self) -> &'static str {
        match self {
            MadeBy::Dracut => "made by dracut",
            MadeBy::Image => "the image's own",
        }
    }
}
