//! The result of `create` or `flash`, for people and as JSON.

use crate::boot::record::Mended;
use crate::build::fill::Sealed;
use crate::check::report::Finding;
use crate::error::Result;
use crate::initramfs::source::MadeBy;
use crate::oci::Image;
use crate::output::print::say;
use crate::progress::Phase;
use crate::publish::artifact::WrittenFile;
use crate::publish::sums::NAME as SHA256SUMS;
use crate::request::location::Place;
use crate::words::slot::Slot;
use crate::words::units::Bytes;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// The result of a run; `version` is that of the JSON form.
#[derive(Debug, Serialize)]
pub struct Written {
    version: u32,
    disk: String,
    size: u64,
    slots: Vec<WrittenSlot>,
    /// Files that were carried over from the running slot.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    carried: Vec<String>,
    /// The disk file and those beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<WrittenFile>,
    phases: Vec<Phase>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct WrittenSlot {
    slot: Slot,
    partition: u32,
    partuuid: String,
    size: u64,
    reference: String,
    digest: String,
    layers: usize,
    stored_bytes: u64,
    os: String,
    kernel: String,
    hardware: String,
    drivers: Vec<String>,
    initramfs_by: MadeBy,
    initramfs_why: String,
    mended: Vec<Mended>,
    findings: Vec<Finding>,
}

impl Written {
    /// Gathers the result of a run.
    pub fn new(
        (disk, size): (&Path, u64),
        images: &[(Place, Image)],
        sealed: Vec<Sealed>,
        (phases, elapsed): (Vec<Phase>, Duration),
    ) -> Written {
        let slots = images.iter().zip(sealed).map(|((place, image), sealed)| WrittenSlot {
            slot: place.slot,
            partition: place.region.number,
            partuuid: place.partuuid.to_string(),
            size: place.region.size,
            reference: sealed.record.reference,
            digest: sealed.record.digest.to_string(),
            layers: image.layer_count(),
            stored_bytes: image.stored_bytes(),
            os: sealed.record.entry.title,
            kernel: sealed.record.entry.kernel.version,
            hardware: sealed.record.hardware,
            drivers: sealed.record.drivers,
            initramfs_by: sealed.record.initramfs_by,
            initramfs_why: sealed.initramfs_why,
            mended: sealed.record.mended,
            findings: sealed.report.findings,
        });
        Written {
            version: 1,
            disk: disk.display().to_string(),
            size,
            slots: slots.collect(),
            carried: Vec::new(),
            files: Vec::new(),
            phases,
            seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        }
    }

    /// Adds the files that were carried over from the running slot.
    pub fn carrying(self, carried: Vec<String>) -> Written {
        Written { carried, ..self }
    }

    /// Adds the disk file and the files beside it.
    pub fn with_files(self, files: Vec<WrittenFile>) -> Written {
        Written { files, ..self }
    }

    /// Prints the result, as one JSON document or as a short summary.
    pub fn print(&self, format: Format) -> Result<()> {
        let text = match format {
            Format::Json => serde_json::to_string_pretty(self)? + "\n",
            Format::Text => self.summary(),
        };
        say(&text)
    }

    fn summary(&self) -> String {
        let mut text = format!("{}: {}, written in {:.1} s\n", self.disk, Bytes(self.size), self.seconds);
        for written in &self.slots {
            let WrittenSlot { slot, os, kernel, reference, digest, layers, stored_bytes, size, .. } = written;
            let stored = Bytes(*stored_bytes);
            let layers = if *layers == 1 { "1 layer".to_owned() } else { format!("{layers} layers") };
            let _ = write!(
                text,
                "  slot {slot}  {os}, kernel {kernel}\n          {reference}\n          {digest}, {layers}, {stored} in a slot of {}\n",
                Bytes(*size)
            );
            let by = written.initramfs_by.in_words();
            let _ = writeln!(text, "          initramfs for {}: {by} ({})", written.hardware, written.initramfs_why);
            for Mended { rule, done, .. } in &written.mended {
                let _ = writeln!(text, "          fixed {rule}: {}", done.join("; "));
            }
        }
        if !self.carried.is_empty() {
            let _ = writeln!(text, "  carried over: {}", self.carried.join(" "));
        }
        if let [_, beside @ ..] = &self.files[..] {
            let names: Vec<&str> = beside.iter().map(WrittenFile::name).chain(Some(SHA256SUMS)).collect();
            let _ = writeln!(text, "  beside it: {}", names.join(" "));
        }
        for Phase { slot, step, seconds, .. } in &self.phases {
            let slot = slot.map(|slot| format!("slot {slot}: ")).unwrap_or_default();
            let _ = writeln!(text, "  {seconds:6.1} s  {slot}{step}");
        }
        text
    }
}

/// Form in which a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text for people to read.
    Text,
    /// One JSON document for programs.
    Json,
}
