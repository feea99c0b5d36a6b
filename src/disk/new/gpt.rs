//! Renders the GPT of a new disk.

use crate::disk::new::layout::Layout;
use crate::disk::table::gpt::{TYPE_ESP, TYPE_ROOT};
use crate::error::Result;
use crate::words::region::{Region, Run};
use crate::words::slot::Slot;
use anyhow::Context;
use gptman::{GPT, GPTPartitionEntry};
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use uuid::{Uuid, uuid};

/// Partition type: BIOS boot (GRUB manual, "BIOS installation").
const TYPE_BIOS_BOOT: Uuid = uuid!("21686148-6449-6e6f-744e-656564454649");
/// Partition type: generic Linux data (Discoverable Partitions Specification).
const TYPE_DATA: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
/// Attribute "no-auto": systemd-gpt-auto-generator does not mount the partition by itself, so that two slots
/// of the root type are never confused (Discoverable Partitions Specification).
const NO_AUTO: u64 = 1 << 63;

/// Renders the table of a disk: protective MBR, primary and backup table.
/// gptman checks bounds, overlaps and duplicate GUIDs.
pub fn table(layout: &Layout, disk: Uuid, partitions: &BTreeMap<u32, Uuid>) -> Result<Vec<Run>> {
    let sector = layout.sector;
    let mut image = Writes { size: layout.size, at: 0, runs: Vec::new() };
    let mut gpt = GPT::new_from(&mut image, sector, disk.to_bytes_le()).context("laying out a partition table")?;
    let mut set = |region: Region, kind: Uuid, name: &str, attributes: u64| {
        gpt[region.number] = GPTPartitionEntry {
            partition_type_guid: kind.to_bytes_le(),
            unique_partition_guid: partitions.get(&region.number).copied().unwrap_or_default().to_bytes_le(),
            starting_lba: region.start / sector,
            ending_lba: (region.start + region.size) / sector - 1,
            attribute_bits: attributes,
            partition_name: name.into(),
        };
    };
    set(layout.core, TYPE_BIOS_BOOT, "bios-boot", 0);
    set(layout.boot, TYPE_ESP, "boot", 0);
    for (slot, region) in (0..).filter_map(Slot::at).zip(&layout.slots) {
        set(*region, TYPE_ROOT, &format!("slot-{slot}"), NO_AUTO);
    }
    if let Some(data) = layout.data {
        set(data, TYPE_DATA, "data", 0);
    }
    GPT::write_protective_mbr_into(&mut image, sector).context("writing the protective MBR")?;
    gpt.write_into(&mut image).context("writing the partition table")?;
    Ok(image.runs)
}

/// Records what is written, so that the caller decides when each part reaches the disk.
struct Writes {
    size: u64,
    at: u64,
    runs: Vec<Run>,
}

impl Write for Writes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.runs.push(Run { offset: self.at, bytes: bytes.to_vec() });
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Writes {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Seek for Writes {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
