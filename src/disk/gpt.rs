//! The partition table, as bytes and where they belong.

use crate::disk::layout::{Layout, Region};
use crate::error::{Result, refused};
use crate::origin::Origin;
use crate::slot::Slot;
use anyhow::Context;
use gptman::{GPT, GPTPartitionEntry};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use uuid::{Uuid, uuid};

/// Bytes of a logical sector; disks of 4096 are refused for now.
pub const SECTOR: u64 = 512;

/// Partition type: BIOS boot (GRUB manual, "BIOS installation").
const TYPE_BIOS_BOOT: Uuid = uuid!("21686148-6449-6e6f-744e-656564454649");
/// Partition type: EFI system partition (UEFI specification 2.10, 5.3.3).
const TYPE_ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// Partition type: x86-64 root (Discoverable Partitions Specification).
const TYPE_ROOT: Uuid = uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
/// Partition type: generic Linux data (Discoverable Partitions Specification).
const TYPE_DATA: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
/// Attribute "no-auto": systemd-gpt-auto-generator does not mount it by itself, so that two slots
/// of the root type are never taken for each other (Discoverable Partitions Specification).
const NO_AUTO: u64 = 1 << 63;

/// The GUIDs of a disk and its partitions.
#[derive(Debug, Clone)]
pub struct Guids {
    disk: Uuid,
    partitions: BTreeMap<u32, Uuid>,
}

impl Guids {
    /// New ones for the disk and every partition of `layout`.
    pub fn new(layout: &Layout, origin: &Origin) -> Guids {
        let regions = layout.slots.iter().chain([&layout.bios_boot, &layout.boot]).chain(&layout.data);
        let partition = |region: &Region| (region.number, origin.uuid(&format!("partition {}", region.number)));
        Guids { disk: origin.uuid("disk"), partitions: regions.map(partition).collect() }
    }

    /// The partition GUID, which Linux calls PARTUUID.
    pub fn of(&self, region: Region) -> Uuid {
        self.partitions.get(&region.number).copied().unwrap_or_default()
    }
}

/// The table of a disk: protective MBR, primary and backup table, each at its offset in bytes.
/// gptman checks bounds, overlaps and duplicate GUIDs.
pub fn table(layout: &Layout, guids: &Guids) -> Result<Vec<(u64, Vec<u8>)>> {
    let mut image = Recorder { size: layout.size, at: 0, writes: Vec::new() };
    let mut gpt =
        GPT::new_from(&mut image, SECTOR, guids.disk.to_bytes_le()).context("laying out a partition table")?;
    let mut set = |region: Region, kind: Uuid, name: &str, attributes: u64| {
        gpt[region.number] = GPTPartitionEntry {
            partition_type_guid: kind.to_bytes_le(),
            unique_partition_guid: guids.of(region).to_bytes_le(),
            starting_lba: region.start / SECTOR,
            ending_lba: (region.start + region.size) / SECTOR - 1,
            attribute_bits: attributes,
            partition_name: name.into(),
        };
    };
    set(layout.bios_boot, TYPE_BIOS_BOOT, "bios-boot", 0);
    set(layout.boot, TYPE_ESP, "boot", 0);
    for (slot, region) in (0..).filter_map(Slot::at).zip(&layout.slots) {
        set(*region, TYPE_ROOT, &format!("slot-{slot}"), NO_AUTO);
    }
    if let Some(data) = layout.data {
        set(data, TYPE_DATA, "data", 0);
    }
    GPT::write_protective_mbr_into(&mut image, SECTOR).context("writing the protective MBR")?;
    gpt.write_into(&mut image).context("writing the partition table")?;
    Ok(image.writes)
}

/// The partitions of a disk that flipslot made.
#[derive(Debug, Clone)]
pub struct Table {
    /// The boot partition.
    pub boot: Region,
    /// The slots, each with its partition's GUID.
    pub slots: BTreeMap<Slot, (Region, Uuid)>,
    /// What is no slot: the boot partition, data, and what others made; name and GUID of each.
    pub shared: Vec<(Region, String, Uuid)>,
}

/// Reads the table of `disk`, which has `size` bytes; `None` if it is not one of ours. What lies
/// outside the disk, or does not say so consistently, is refused.
pub fn read(disk: &File, size: u64) -> Result<Option<Table>> {
    refuse_absurd(disk)?;
    let Ok(gpt) = GPT::read_from(&mut &*disk, SECTOR) else { return Ok(None) };
    refuse_damaged(&gpt)?;
    let mut boot = None;
    let mut slots = BTreeMap::new();
    let mut shared = Vec::new();
    for (number, entry) in gpt.iter().filter(|(_, entry)| entry.is_used()) {
        let name = entry.partition_name.as_str();
        let kind = Uuid::from_bytes_le(entry.partition_type_guid);
        let guid = Uuid::from_bytes_le(entry.unique_partition_guid);
        let slot = name.strip_prefix("slot-").and_then(|letter| letter.parse::<Slot>().ok());
        let slot = slot.filter(|_| kind == TYPE_ROOT); // another use of the same name
        let region = region(number, entry, size);
        if slot.is_none() {
            shared.extend(region.map(|region| (region, name.to_owned(), guid)));
            if (name, kind) != ("boot", TYPE_ESP) {
                continue;
            }
        }
        let region = region.ok_or_else(|| {
            let found = format!("partition {number} ({name}) does not lie on the disk");
            refused(found, "mend the partition table first: sgdisk --verify DISK")
        })?;
        let Some(slot) = slot else {
            if boot.replace(region).is_some() {
                return Err(refused(
                    "two EFI system partitions are called boot",
                    "rename the one that is not flipslot's",
                ));
            }
            continue;
        };
        if slots.insert(slot, (region, guid)).is_some() {
            return Err(refused(
                format!("two partitions are called slot-{slot}"),
                "rename the one that is not flipslot's: sgdisk --change-name",
            ));
        }
    }
    Ok(boot.filter(|_| !slots.is_empty()).map(|boot| Table { boot, slots, shared }))
}

/// A table as others describe it: what `sgdisk --print` and `--info` show.
#[derive(Debug, Serialize)]
pub struct Described {
    kind: &'static str,
    sector: u64,
    guid: String,
    partitions: Vec<DescribedPartition>,
}

#[derive(Debug, Serialize)]
struct DescribedPartition {
    number: u32,
    name: String,
    start: u64,
    size: u64,
    r#type: String,
    guid: String,
}

/// Describes the table of `disk` as it stands there.
pub fn describe(disk: &File) -> Result<Described> {
    let gpt = GPT::read_from(&mut &*disk, SECTOR).context("reading the partition table")?;
    let used = gpt.iter().filter(|(_, entry)| entry.is_used());
    let partitions = used.map(|(number, entry)| DescribedPartition {
        number,
        name: entry.partition_name.as_str().to_owned(),
        start: entry.starting_lba * SECTOR,
        size: (entry.ending_lba + 1 - entry.starting_lba) * SECTOR,
        r#type: Uuid::from_bytes_le(entry.partition_type_guid).to_string(),
        guid: Uuid::from_bytes_le(entry.unique_partition_guid).to_string(),
    });
    Ok(Described {
        kind: "gpt",
        sector: SECTOR,
        guid: Uuid::from_bytes_le(gpt.header.disk_guid).to_string(),
        partitions: partitions.collect(),
    })
}

/// Where a partition is; `None` if it does not lie on the disk.
fn region(number: u32, entry: &GPTPartitionEntry, size: u64) -> Option<Region> {
    let start = entry.starting_lba.checked_mul(SECTOR)?;
    let end = entry.ending_lba.checked_add(1)?.checked_mul(SECTOR)?;
    (start < end && end <= size).then(|| Region { number, start, size: end - start })
}

/// Refuses a header that promises more entries than any table has, before memory is asked for them
/// (UEFI specification 2.10, 5.3.2: number of entries at byte 80, size of one at 84).
fn refuse_absurd(disk: &File) -> Result<()> {
    const ENTRIES_MAX: u32 = 4096;
    let mut header = [0; 92];
    if disk.read_exact_at(&mut header, SECTOR).is_err() || !header.starts_with(b"EFI PART") {
        return Ok(()); // no table, or a damaged one, which is looked at next
    }
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if number(80) > ENTRIES_MAX || number(84) != 128 {
        let found = format!("the partition table says that it has {} entries of {} bytes", number(80), number(84));
        return Err(refused(found, "mend the partition table first: sgdisk --verify DISK"));
    }
    Ok(())
}

/// Refuses a table that only its backup tells of, and partitions that share bytes.
fn refuse_damaged(gpt: &GPT) -> Result<()> {
    if !gpt.is_primary() {
        return Err(refused(
            "the partition table at the beginning of the disk is damaged; only its backup is whole",
            "write it anew from the backup: sgdisk --load-backup, or gdisk, commands r, b, w",
        ));
    }
    let mut used: Vec<_> = gpt.iter().filter(|(_, entry)| entry.is_used()).collect();
    used.sort_by_key(|(_, entry)| entry.starting_lba);
    for pair in used.windows(2) {
        let [(one, first), (two, second)] = pair else { continue };
        if second.starting_lba <= first.ending_lba {
            let found = format!("partitions {one} and {two} overlap: writing one would destroy the other");
            return Err(refused(found, "mend the partition table first: sgdisk --verify DISK"));
        }
    }
    Ok(())
}

/// Keeps what is written, so that the caller decides when which part reaches the disk.
struct Recorder {
    size: u64,
    at: u64,
    writes: Vec<(u64, Vec<u8>)>,
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.push((self.at, bytes.to_vec()));
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Recorder {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Seek for Recorder {
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
