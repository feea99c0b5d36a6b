//! `NAME.json`: describes a disk file and its contents, for programs that never open it (docs/artifacts.md).

use crate::boot::record::Record;
use crate::boot::slot_facts::SlotFacts;
use crate::disk::table::described::Described;
use crate::publish::format::Format;
use crate::publish::written_file::WrittenFile;
use crate::words::digest::Digest;
use crate::words::slot::Slot;
use crate::words::units::rfc3339;
use serde::Serialize;

/// Contents of `NAME.json`. docs/artifacts.md describes this JSON form; `version` is its version.
#[derive(Debug, Serialize)]
pub struct Manifest {
    version: u32,
    flipslot: &'static str,
    written: String,
    format: &'static str,
    size: u64,
    table: Described,
    slots: Vec<ManifestSlot>,
    files: Vec<WrittenFile>,
}

/// Contents of a slot.
#[derive(Debug, Serialize)]
struct ManifestSlot {
    slot: Slot,
    partition: u32,
    kernel_digest: Digest,
    initramfs_digest: Digest,
    cmdline: String,
    filesystem_uuid: String,
    #[serde(flatten)]
    image: SlotFacts,
}

/// Facts about a disk as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Format of the disk file.
    pub format: Format,
    /// Size of the disk in bytes, whatever the file takes in its format.
    pub size: u64,
    /// Time at which the disk was made, in seconds since 1970.
    pub written: u64,
}

impl Manifest {
    /// Makes the manifest of a disk with this table and these slots.
    pub fn new(head: Head, table: Described, slots: &[(Slot, Record)], files: Vec<WrittenFile>) -> Manifest {
        Manifest {
            version: 1,
            flipslot: env!("CARGO_PKG_VERSION"),
            written: rfc3339(head.written),
            format: head.format.name(),
            size: head.size,
            table,
            slots: slots.iter().map(|(slot, record)| of(*slot, record)).collect(),
            files,
        }
    }
}

fn of(slot: Slot, record: &Record) -> ManifestSlot {
    ManifestSlot {
        slot,
        partition: record.grub.partition,
        kernel_digest: record.entry().kernel_digest.clone(),
        initramfs_digest: record.entry().initramfs_digest.clone(),
        cmdline: record.entry().cmdline.to_string(),
        filesystem_uuid: record.filesystem_uuid.clone(),
        image: SlotFacts::from(record),
    }
}
