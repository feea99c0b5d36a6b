//! Result of `clone --dry-run`: what would become of each disk (docs/plan.md).

use crate::clone::chunks as pieces;
use crate::clone::golden::Golden;
use crate::clone::source::Source;
use crate::clone::targets::Measured;
use crate::error::Result;
use crate::output::plan::Plan;
use crate::output::print::say;
use crate::request::consent::Consent;
use crate::words::slot::Slot;
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
    /// Further remarks for people.
    notes: Vec<String>,
}

impl ClonePlan {
    /// Examines every target, and refuses one that could not be claimed. `remarks` say what stays the same on
    /// the copies.
    pub fn of(
        (source, golden): (&Source, &Golden),
        targets: &[Measured],
        consent: &Consent,
        remarks: Vec<(Option<Slot>, String)>,
    ) -> Result<ClonePlan> {
        let disk = |target: &Measured| {
            let (_, now) = consent.look(&target.path)?;
            let plan = Plan::of_copy(&target.path, target.size.0, golden);
            Ok(plan.noting(format!("on {} now: {now}", target.path.display())))
        };
        let note = |(slot, text): (Option<Slot>, String)| match slot {
            Some(slot) => format!("slot {slot}: {text}"),
            None => text,
        };
        Ok(ClonePlan {
            version: 1,
            verb: "clone",
            source: source.path.display().to_string(),
            source_size: source.size,
            bytes_to_copy: pieces::allocated(source, golden.table.end())?,
            disks: targets.iter().map(disk).collect::<Result<_>>()?,
            notes: remarks.into_iter().map(note).collect(),
        })
    }

    /// Prints the plan, as one JSON document or as text.
    pub fn print(&self, json: bool) -> Result<()> {
        say(&if json { serde_json::to_string_pretty(self)? + "\n" } else { self.text() })
    }

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
