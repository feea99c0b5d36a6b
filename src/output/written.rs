//! The result of `create` or `flash`, for people and as JSON.

use crate::boot::record::Record;
use crate::boot::slot_facts::SlotFacts;
use crate::check::report::Finding;
use crate::oci::signature::Verdict;
use crate::output::document::Document;
use crate::output::fixes::fixes;
use crate::progress::Phase;
use crate::publish::sums::NAME as SHA256SUMS;
use crate::publish::written_file::WrittenFile;
use crate::words::location::SlotLocation;
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
    layers: usize,
    stored_bytes: u64,
    signature: Verdict,
    initramfs_why: String,
    #[serde(flatten)]
    image: SlotFacts,
    findings: Vec<Finding>,
}

/// The facts that are printed about a written slot.
pub struct SlotResult {
    /// Location of the slot.
    pub location: SlotLocation,
    /// Number of layers of its image.
    pub layers: usize,
    /// Bytes of these layers as they are stored.
    pub stored_bytes: u64,
    /// Judgement of its signatures.
    pub signature: Verdict,
    /// Record of what it holds.
    pub record: Record,
    /// Reason for the choice of the initramfs.
    pub initramfs_why: String,
    /// Findings of the rules.
    pub findings: Vec<Finding>,
    /// Files that were carried over from the running slot.
    pub carried: Vec<String>,
}

impl Written {
    /// Gathers the result of a run that wrote slots of a disk of `size` bytes.
    pub fn new(disk: &Path, size: u64, slots: Vec<SlotResult>, phases: Vec<Phase>) -> Written {
        let carried = slots.iter().flat_map(|slot| slot.carried.clone()).collect();
        let slots = slots.into_iter().map(|slot| WrittenSlot {
            slot: slot.location.slot,
            partition: slot.location.region.number,
            partuuid: slot.location.partuuid.to_string(),
            size: slot.location.region.size,
            layers: slot.layers,
            stored_bytes: slot.stored_bytes,
            signature: slot.signature,
            initramfs_why: slot.initramfs_why,
            image: SlotFacts::from(&slot.record),
            findings: slot.findings,
        });
        Written {
            version: 1,
            disk: disk.display().to_string(),
            size,
            slots: slots.collect(),
            carried,
            files: Vec::new(),
            phases,
            seconds: 0.0,
        }
    }

    /// Adds the duration of the run.
    pub fn took(self, elapsed: Duration) -> Written {
        Written { seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0, ..self }
    }

    /// Adds the disk file and the files beside it.
    pub fn with_files(self, files: Vec<WrittenFile>) -> Written {
        Written { files, ..self }
    }
}

impl Document for Written {
    fn text(&self) -> String {
        let mut text = format!("{}: {}, written in {:.1} s\n", self.disk, Bytes(self.size), self.seconds);
        for written in &self.slots {
            let WrittenSlot { slot, layers, stored_bytes, size, signature, initramfs_why, image, .. } = written;
            let SlotFacts { os, kernel, reference, digest, hardware, initramfs_by, .. } = image;
            let stored = Bytes(*stored_bytes);
            let layers = if *layers == 1 { "1 layer".to_owned() } else { format!("{layers} layers") };
            let _ = writeln!(text, "  slot {slot}  {os}, kernel {kernel}");
            let _ = writeln!(text, "          {reference}");
            let _ = writeln!(text, "          {digest}, {layers}, {stored} in a slot of {}", Bytes(*size));
            let _ = writeln!(text, "          {}", signature.in_words());
            let _ = writeln!(text, "          initramfs for {hardware}: {} ({initramfs_why})", initramfs_by.in_words());
            text += &fixes(image);
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
