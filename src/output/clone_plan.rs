//! Result of `clone --dry-run`: what would become of each disk (docs/plan.md).

use crate::clone::caveats::Caveat;
use crate::clone::chunks;
use crate::clone::golden::Master;
use crate::clone::targets::Measured;
use crate::error::Result;
use crate::output::document::Document;
use crate::output::plan::Plan;
use crate::request::consent::Consent;
use crate::words::units::Bytes;
use serde::Serialize;
use std::fmt::Write as _;

/// The plan of a clone; `version` is that of the JSON form.
#[derive(Debug, Serialize)]
pub struct ClonePlan {
    version: u32,
    verb: &'static str,
    source: String,
    source_size: u64,
    /// Bytes that would be read of the source: those that are allocated.
    bytes_to_copy: u64,
    disks: Vec<Plan>,
    /// Further caveats for people.
    notes: Vec<String>,
}

impl ClonePlan {
    /// Examines every target, and refuses one that could not be claimed. `caveats` say what stays the same on
    /// the copies.
    pub fn of(master: Master, targets: &[Measured], consent: &Consent, caveats: Vec<Caveat>) -> Result<ClonePlan> {
        let Master { source, golden } = master;
        let disk = |target: &Measured| {
            let (_, now) = consent.look(&target.path)?;
            let plan = Plan::of_copy(&target.path, target.geometry.size.0, golden);
            Ok(plan.noting(format!("on {} now: {now}", target.path.display())))
        };
        let note = |Caveat { slot, text }| match slot {
            Some(slot) => format!("slot {slot}: {text}"),
            None => text,
        };
        Ok(ClonePlan {
            version: 1,
            verb: "clone",
            source: source.path.display().to_string(),
            source_size: source.size,
            bytes_to_copy: chunks::allocated(source, golden.table.end())?,
            disks: targets.iter().map(disk).collect::<Result<_>>()?,
            notes: caveats.into_iter().map(note).collect(),
        })
    }
}

impl Document for ClonePlan {
    fn text(&self) -> String {
        let (size, data) = (Bytes(self.source_size), Bytes(self.bytes_to_copy));
        let mut text = format!("would copy {} ({size}, {data} allocated)\n", self.source);
        self.notes.iter().for_each(|note| {
            let _ = writeln!(text, "  {note}");
        });
        self.disks.iter().for_each(|disk| text += &disk.text());
        text
    }
}
