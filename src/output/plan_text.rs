//! The text form of a plan, for people.

use crate::output::document::Document;
use crate::output::plan::{Plan, PlannedImage};
use crate::output::planned_partition::{Fate, PlannedPartition};
use crate::words::units::Bytes;
use std::fmt::Write as _;

impl Document for Plan {
    fn text(&self) -> String {
        let mut text = String::new();
        for PlannedImage { slot, reference, digest, stored_bytes, replaces } in &self.images {
            let now = match replaces {
                _ if self.table_written => String::new(),
                Some(title) => format!("; {title} would go"),
                None => "; it holds nothing that boots".to_owned(),
            };
            let _ = writeln!(text, "would write {reference} into slot {slot} of {}{now}", self.disk);
            let _ = writeln!(text, "  {digest}, {} stored", Bytes(*stored_bytes));
        }
        if !self.images.is_empty() {
            let _ = writeln!(text, "  {} to fetch", Bytes(self.bytes_to_fetch));
        }
        self.notes.iter().for_each(|note| {
            let _ = writeln!(text, "  {note}");
        });
        let made = if self.table_written { "a new table" } else { "the table stays" };
        let _ = writeln!(text, "  {}: {}, {}, {made}", self.disk, Bytes(self.size), self.table);
        for PlannedPartition { number, name, start, size, fate, filesystem } in &self.partitions {
            let fate = match (fate, filesystem) {
                (Fate::Untouched, _) => "kept".to_owned(),
                (Fate::Changed, _) => format!("changed: {}", self.boot_files.join(" ")),
                (Fate::Written, Some(filesystem)) if name == "boot" => {
                    format!("written: {filesystem}: {}", self.boot_files.join(" "))
                }
                (Fate::Written, Some(filesystem)) => format!("written: {filesystem}"),
                (Fate::Written, None) => "written".to_owned(),
                (Fate::Empty, _) => "empty".to_owned(),
            };
            let _ = writeln!(text, "  {number:>3}  {name:<10} {start:>14} + {size:<14} {fate}");
        }
        text
    }
}
