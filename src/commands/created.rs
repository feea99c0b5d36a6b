//! What `create` has made, for people and as JSON.

use crate::commands::fill::{Place, Sealed};
use crate::disk::Layout;
use crate::error::Result;
use crate::oci::Image;
use crate::progress::Phase;
use crate::slot::Slot;
use crate::units::Bytes;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write, stdout};
use std::path::Path;
use std::time::Duration;

/// The result; its JSON form has this version.
#[derive(Debug, Serialize)]
pub struct Created {
    version: u32,
    disk: String,
    size: u64,
    slots: Vec<CreatedSlot>,
    phases: Vec<Phase>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct CreatedSlot {
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
}

impl Created {
    /// Gathers the result.
    pub fn new(
        disk: &Path,
        layout: &Layout,
        images: &[(Place, Image)],
        sealed: Vec<Sealed>,
        (phases, elapsed): (Vec<Phase>, Duration),
    ) -> Created {
        let slots = images.iter().zip(sealed).map(|((place, image), sealed)| CreatedSlot {
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
        });
        Created {
            version: 1,
            disk: disk.display().to_string(),
            size: layout.size,
            slots: slots.collect(),
            phases,
            seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        }
    }

    /// Prints it: as one JSON document, or as a short summary.
    pub fn print(&self, format: Format) -> Result<()> {
        let text = match format {
            Format::Json => serde_json::to_string_pretty(self)? + "\n",
            Format::Text => self.summary(),
        };
        match stdout().write_all(text.as_bytes()) {
            // The disk is made, whether or not anyone reads about it.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }

    fn summary(&self) -> String {
        let mut text = format!("{}: {}, made in {:.1} s\n", self.disk, Bytes(self.size), self.seconds);
        for slot in &self.slots {
            let CreatedSlot { slot, os, kernel, reference, digest, layers, stored_bytes, size, .. } = slot;
            let stored = Bytes(*stored_bytes);
            let layers = if *layers == 1 { "1 layer".to_owned() } else { format!("{layers} layers") };
            let _ = write!(
                text,
                "  slot {slot}  {os}, kernel {kernel}\n          {reference}\n          {digest}, {layers}, {stored} in a slot of {}\n",
                Bytes(*size)
            );
        }
        for Phase { slot, step, seconds } in &self.phases {
            let slot = slot.map(|slot| format!("slot {slot}: ")).unwrap_or_default();
            let _ = writeln!(text, "  {seconds:6.1} s  {slot}{step}");
        }
        text
    }
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}
