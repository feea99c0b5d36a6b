//! Reads and renders the partition table of a disk, GPT or MBR.

use crate::disk::new::layout::Layout;
use crate::disk::table::{gpt, mbr};
use crate::error::{Result, failed, refused};
use crate::words::origin::Origin;
use crate::words::partuuid::PartUuid;
use crate::words::region::{Region, TableKind};
use crate::words::slot::Slot;
use anyhow::Context;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use uuid::Uuid;

/// Identifiers of a new disk and its partitions.
#[derive(Debug, Clone)]
pub enum Ids {
    /// GUIDs of the disk, and of its partitions by number.
    Gpt(Uuid, BTreeMap<u32, Uuid>),
    /// Signature of the disk.
    Mbr(u32),
}

impl Ids {
    /// Derives identifiers for the disk and every partition of `layout` from `origin`.
    pub fn new(layout: &Layout, origin: &Origin) -> Ids {
        match layout.table {
            TableKind::Gpt => {
                let partition = |region: Region| (region.number, origin.uuid(&format!("partition {}", region.number)));
                Ids::Gpt(origin.uuid("disk"), layout.partitions().map(partition).collect())
            }
            // Never 0, which means that a disk has no signature.
            TableKind::Mbr => Ids::Mbr(origin.uuid("disk").as_fields().0.max(1)),
        }
    }

    /// Makes a signature that no other disk has. It is never 0, which means that a disk has none.
    pub fn fresh_mbr() -> Ids {
        Ids::Mbr(Uuid::new_v4().as_fields().0.max(1))
    }

    /// Returns the disk's identifier: its GUID; for an MBR its signature, eight hexadecimal digits.
    pub fn of_disk(&self) -> String {
        match self {
            Ids::Gpt(disk, _) => disk.to_string(),
            Ids::Mbr(signature) => format!("{signature:08x}"),
        }
    }

    /// Returns the PARTUUID of a partition, its name in Linux.
    pub fn of(&self, region: Region) -> PartUuid {
        match self {
            Ids::Gpt(_, partitions) => PartUuid::Gpt(partitions.get(&region.number).copied().unwrap_or_default()),
            Ids::Mbr(disk) => PartUuid::Mbr { disk: *disk, number: region.number },
        }
    }

    /// Renders the table of a disk with that layout: runs of bytes, each with its offset.
    pub fn table(&self, layout: &Layout) -> Result<Vec<(u64, Vec<u8>)>> {
        match self {
            Ids::Gpt(disk, partitions) => gpt::table(layout, *disk, partitions),
            Ids::Mbr(disk) => proven(mbr::table(layout, *disk)?, layout.size),
        }
    }
}

/// Checks an MBR that is about to be written to a disk of `size` bytes, and returns it: it can be read again,
/// nothing in it overlaps or leaves the disk, and its chain has an end.
pub fn proven(table: Vec<(u64, Vec<u8>)>, size: u64) -> Result<Vec<(u64, Vec<u8>)>> {
    let disk = File::from(memfd_create("table", MemfdFlags::CLOEXEC).context("making a file in memory for a table")?);
    disk.set_len(size)?;
    for (at, bytes) in &table {
        disk.write_all_at(bytes, *at)?;
    }
    let found = mbr::read(&disk, size).context("reading the table that would be written")?;
    found.map(|_| table).context("the table that would be written cannot be read")
}

/// The partitions of a disk that flipslot made.
#[derive(Debug, Clone)]
pub struct Table {
    /// Kind of partition table.
    pub kind: TableKind,
    /// Size of a logical sector in bytes.
    pub sector: u64,
    /// Region of the boot partition.
    pub boot: Region,
    /// The slots, each with its region and PARTUUID.
    pub slots: BTreeMap<Slot, (Region, PartUuid)>,
    /// Number of the data partition, if there is one. An MBR does not name it: it is the first one for Linux
    /// behind the slots.
    pub data: Option<u32>,
    /// Partitions that are not slots: boot, data, and those that others made; each with its name, which is
    /// empty in an MBR, and its PARTUUID.
    pub shared: Vec<(Region, String, PartUuid)>,
}

/// Reads the table of `disk`, which is `size` bytes long in sectors of `sector` bytes; `None` if it is not
/// one of ours. Refuses a damaged or inconsistent table, and partitions that leave the disk.
pub fn read(disk: &File, size: u64, sector: u64) -> Result<Option<Table>> {
    if let Some(table) = gpt::read(disk, size, sector)? {
        return Ok(Some(table));
    }
    let read = if sector == 512 { mbr::read(disk, size)? } else { None };
    Ok(read.map(|mbr::Partitions { boot, linux, others }| {
        // All partitions for Linux; the boot partition says which of them are slots (`Table::with_slots`).
        let slots = (0..).map_while(Slot::at).zip(linux).collect();
        let unnamed = |(region, partuuid)| (region, String::new(), partuuid);
        let shared = std::iter::once(boot).chain(others).map(unnamed).collect();
        Table { kind: TableKind::Mbr, sector, boot: boot.0, slots, data: None, shared }
    }))
}

impl Table {
    /// Takes the slots of an MBR from the boot partition, because an MBR has no names; a GPT stays as it is.
    /// Refuses a partition that is not where it was made: anything may be there now.
    pub fn with_slots(mut self, places: Option<BTreeMap<Slot, Region>>) -> Result<Table> {
        if self.kind == TableKind::Gpt {
            return Ok(self);
        }
        let mut found: Vec<_> = std::mem::take(&mut self.slots).into_values().collect();
        for (slot, place) in places.unwrap_or_default() {
            let at = found.iter().position(|(region, _)| *region == place).ok_or_else(|| {
                let found = format!("slot {slot} was made as partition {}, which is gone or has changed", place.number);
                refused(found, "repair the partition table: sfdisk; or make the disk again: flipslot create")
            })?;
            self.slots.insert(slot, found.remove(at));
        }
        let last = self.slots.values().map(|(region, _)| region.number).max().unwrap_or(0);
        self.data = found.iter().map(|(region, _)| region.number).filter(|number| *number > last).min();
        self.shared.extend(found.into_iter().map(|(region, partuuid)| (region, String::new(), partuuid)));
        Ok(self)
    }
}

/// A table as other programs describe it: what `sgdisk --print` and `--info` show, or `sfdisk --json`.
#[derive(Debug, Serialize)]
pub struct Described {
    /// Kind of partition table.
    pub kind: TableKind,
    /// Size of a logical sector in bytes.
    pub sector: u64,
    /// The disk's GUID; for an MBR its signature, eight hexadecimal digits.
    pub guid: String,
    /// Partitions, by number.
    pub partitions: Vec<DescribedPartition>,
}

/// A partition of a [`Described`] table.
#[derive(Debug, Serialize)]
pub struct DescribedPartition {
    /// Number in the table.
    pub number: u32,
    /// Name; empty in an MBR.
    pub name: String,
    /// Offset of the first byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
    /// Partition type: a GUID; in an MBR two hexadecimal digits.
    pub r#type: String,
    /// PARTUUID, as in Linux.
    pub guid: String,
}

/// Describes the table that is on `disk`. Fails if there is none.
pub fn describe(disk: &File, size: u64, sector: u64) -> Result<Described> {
    if let Some(described) = gpt::describe(disk, sector) {
        return Ok(described);
    }
    let none = || failed("the table that was written cannot be read", "check the disk of that file: dmesg");
    mbr::describe(disk, size)?.ok_or_else(none)
}

/// Returns the logical sector size of a disk file, 512 or 4096 bytes, according to the position of its GPT.
pub fn sector_of_file(disk: &File) -> u64 {
    let has_header = |at: u64| {
        let mut magic = [0; 8];
        disk.read_exact_at(&mut magic, at).is_ok() && magic == *b"EFI PART"
    };
    if !has_header(512) && has_header(4096) { 4096 } else { 512 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::new::layout::{Data, Wish};
    use crate::words::units::Bytes;

    #[test]
    fn an_mbr_that_no_one_could_read_is_not_written() {
        let (table, slot_sizes) = (TableKind::Mbr, BTreeMap::new());
        let wish = Wish { size: Bytes(1 << 30), sector: 512, table, slots: 4, slot_sizes, data: Data::None };
        let layout = Layout::plan(&wish).unwrap();
        assert!(Ids::Mbr(7).table(&layout).is_ok());
        let mut overlapping = layout.clone();
        overlapping.slots[1].start = overlapping.slots[0].start + (1 << 20);
        let error = format!("{:#}", Ids::Mbr(7).table(&overlapping).unwrap_err());
        assert!(error.contains("partitions 2 and 3 overlap"), "{error}");
        let mut outside = layout.clone();
        outside.slots[3].size += 1 << 30;
        let error = format!("{:#}", Ids::Mbr(7).table(&outside).unwrap_err());
        assert!(error.contains("is not within the disk"), "{error}");
    }
}
