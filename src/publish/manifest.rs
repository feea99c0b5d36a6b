//! `NAME.json`: describes a disk file and its contents, for programs that never open it (docs/artifacts.md).

use crate::boot::record::{Mended, Record};
use crate::disk::table::read::Described;
use crate::filesystem::kind::Filesystem;
use crate::initramfs::source::MadeBy;
use crate::publish::artifact::WrittenFile;
use crate::publish::format::Format;
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
    reference: String,
    digest: Digest,
    os: String,
    kernel: String,
    kernel_digest: Digest,
    initramfs_digest: Digest,
    initramfs_by: MadeBy,
    cmdline: String,
    filesystem: Filesystem,
    filesystem_uuid: String,
    hardware: String,
    drivers: Vec<String>,
    mended: Vec<Mended>,
    allowed: Vec<String>,
    agent: Vec<String>,
    written: String,
}

impl Manifest {
    /// Makes the manifest of a disk of `size` bytes with this table and these slots; `written` is in seconds
    /// since 1970.
    pub fn new(
        (format, size, written): (Format, u64, u64),
        table: Described,
        slots: &[(Slot, Record)],
        files: Vec<WrittenFile>,
    ) -> Manifest {
        Manifest {
            version: 1,
            flipslot: env!("CARGO_PKG_VERSION"),
            written: rfc3339(written),
            format: format.name(),
            size,
            table,
            slots: slots.iter().cloned().map(|(slot, record)| of(slot, record)).collect(),
            files,
        }
    }
}

fn of(slot: Slot, record: Record) -> ManifestSlot {
    ManifestSlot {
        slot,
        partition: record.entry.partition,
        reference: record.reference,
        digest: record.digest,
        os: record.entry.title,
        kernel: record.entry.kernel.version,
        kernel_digest: record.entry.kernel_digest,
        initramfs_digest: record.entry.initramfs_digest,
        initramfs_by: record.initramfs_by,
        cmdline: record.entry.cmdline.to_string(),
        filesystem: record.filesystem,
        filesystem_uuid: record.filesystem_uuid,
        hardware: record.hardware,
        drivers: record.drivers,
        mended: record.mended,
        allowed: record.allowed,
        agent: record.agent,
        written: rfc3339(record.written),
    }
}
