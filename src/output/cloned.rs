//! The result of `clone`, for people and as JSON (docs/clone.md).

use crate::clone::run::Outcome;
use crate::clone::source::Source;
use crate::error::{Result, failed, hint};
use crate::output::document::Document;
use crate::words::units::Bytes;
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Duration;

/// The result of a clone; `version` is that of the JSON form.
#[derive(Debug, Serialize)]
pub struct Cloned {
    version: u32,
    source: String,
    source_size: u64,
    disks: Vec<ClonedDisk>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct ClonedDisk {
    serial: Option<String>,
    path: String,
    size: u64,
    bytes_written: u64,
    seconds: f64,
    hash: Option<String>,
    disk_guid: Option<String>,
    outcome: How,
    error: Option<String>,
    next: Option<String>,
    left: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum How {
    /// Written and read back: the disk boots.
    Cloned,
    /// Not completed: the disk does not boot.
    Failed,
}

impl Cloned {
    /// Gathers the result of a clone.
    pub fn new(source: &Source, outcomes: Vec<Outcome>, elapsed: Duration) -> Cloned {
        Cloned {
            version: 1,
            source: source.path.display().to_string(),
            source_size: source.size,
            disks: outcomes.into_iter().map(disk).collect(),
            seconds: seconds(elapsed),
        }
    }

    /// Fails if any disk failed, and names the failed ones.
    pub fn refuse_if_any_failed(&self) -> Result<()> {
        let failures: Vec<_> = self.disks.iter().filter(|disk| disk.outcome == How::Failed).collect();
        let Some(first) = failures.first() else { return Ok(()) };
        let names: Vec<&str> = failures.iter().map(|disk| disk.path.as_str()).collect();
        let found = format!(
            "{} of {} disks failed and do not boot: {}; the first: {}",
            failures.len(),
            self.disks.len(),
            names.join(", "),
            first.error.as_deref().unwrap_or_default()
        );
        Err(failed(found, first.next.clone().unwrap_or_default()))
    }
}

impl Document for Cloned {
    fn text(&self) -> String {
        let mut text = format!("{}: {}, copied in {:.1} s\n", self.source, Bytes(self.source_size), self.seconds);
        for disk in &self.disks {
            let serial = disk.serial.as_deref().map(|serial| format!(" (serial {serial})")).unwrap_or_default();
            let _ = write!(text, "  {}{serial}: ", disk.path);
            let _ = match (&disk.disk_guid, &disk.error) {
                (Some(guid), _) => writeln!(
                    text,
                    "{}, {} written and read back in {:.1} s, disk GUID {guid}",
                    Bytes(disk.size),
                    Bytes(disk.bytes_written),
                    disk.seconds
                ),
                (None, error) => writeln!(text, "failed: {}", error.as_deref().unwrap_or_default()),
            };
            disk.left.iter().for_each(|left| text += &format!("      {left}\n"));
        }
        text
    }
}

fn disk(outcome: Outcome) -> ClonedDisk {
    let (copy, error, next) = match outcome.result {
        Ok(copy) => (Some(copy), None, None),
        Err(error) => (None, Some(format!("{error:#}")), hint(&error).map(ToOwned::to_owned)),
    };
    ClonedDisk {
        serial: outcome.serial,
        path: outcome.path.display().to_string(),
        size: outcome.size,
        bytes_written: outcome.written,
        seconds: seconds(outcome.elapsed),
        hash: copy.as_ref().map(|copy| copy.hash.to_string()),
        disk_guid: copy.as_ref().map(|copy| copy.disk_guid.clone()),
        outcome: if copy.is_some() { How::Cloned } else { How::Failed },
        error,
        next,
        left: copy.map(|copy| copy.left).unwrap_or_default(),
    }
}

fn seconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1000.0).round() / 1000.0
}
