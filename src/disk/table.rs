//! The partition table of a disk, of whichever kind: what is written of it, and what is read.

use crate::disk::layout::{Layout, Region, TableKind};
use crate::disk::{gpt, mbr};
use crate::error::{Result, failed, refused};
use crate::origin::Origin;
use crate::partuuid::PartUuid;
use crate::slot::Slot;
use anyhow::Context;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use uuid::Uuid;

/// What a new disk and its partitions are called.
#[derive(Debug, Clone)]
pub enum Ids {
    /// GUIDs: the disk's, and those of its partitions by number.
    Gpt(Uuid, BTreeMap<u32, Uuid>),
    /// The disk's signature.
    Mbr(u32),
}

impl Ids {
    /// New ones for the disk and every partition of `layout`.
    pub fn new(layout: &Layout, origin: &Origin) -> Ids {
        match layout.table {
            TableKind::Gpt => {
                let partition = |region: Region| (region.number, origin.uuid(&format!("partition {}", region.number)));
                Ids::Gpt(origin.uuid("disk"), layout.partitions().map(partition).collect())
            }
            // No signature is 0, which stands for a disk that has none.
            TableKind::Mbr => Ids::Mbr(origin.uuid("disk").as_fields().0.max(1)),
        }
    }

    /// A signature that no other disk has. None is 0, which stands for a disk that has none.
    pub fn fresh_mbr() -> Ids {
        Ids::Mbr(Uuid::new_v4().as_fields().0.max(1))
    }

    /// What the disk is called: its GUID; of an MBR its signature, eight hexadecimal digits.
    pub fn of_disk(&self) -> String {
        match self {
            Ids::Gpt(disk, _) => disk.to_string(),
            Ids::Mbr(signature) => format!("{signature:08x}"),
        }
    }

    /// What Linux calls a partition.
    pub fn of(&self, region: Region) -> PartUuid {
        match self {
            Ids::Gpt(_, partitions) => PartUuid::Gpt(partitions.get(&region.number).copied().unwrap_or_default()),
            Ids::Mbr(disk) => PartUuid::Mbr { disk: *disk, number: region.number },
        }
    }

    /// The table of a disk with that layout, as bytes, each with their offset.
    pub fn table(&self, layout: &Layout) -> Result<Vec<(u64, Vec<u8>)>> {
        match self {
            Ids::Gpt(disk, partitions) => gpt::table(layout, *disk, partitions),
            Ids::Mbr(disk) => proven(mbr::table(layout, *disk)?, layout.size),
        }
    }
}

/// An MBR that is about to be written to a disk of `size` bytes, if it can be read again: nothing in it
/// overlaps or leaves the disk, and its chain has an end.
pub fn proven(table: Vec<(u64, Vec<u8>)>, size: u64) -> Result<Vec<(u64, Vec<u8>)>> {
    let disk = File::from(memfd_create("table", MemfdFlags::CLOEXEC).context("making room for a table in memory")?);
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
    /// Its kind.
    pub kind: TableKind,
    /// Bytes of a logical sector.
    pub sector: u64,
    /// The boot partition.
    pub boot: Region,
    /// The slots, each with what Linux calls its partition.
    pub slots: BTreeMap<Slot, (Region, PartUuid)>,
    /// The number of the partition for data, if there is one. An MBR does not name it: it is the first one for
    /// Linux behind the slots.
    pub data: Option<u32>,
    /// What is no slot: the boot partition, data, and what others made; with its name, which an MBR has
    /// not, and what Linux calls it.
    pub shared: Vec<(Region, String, PartUuid)>,
}

/// Reads the table of `disk`, which has `size` bytes in sectors of `sector`; `None` if it is not one of
/// ours. What leaves the disk, or does not say so consistently, is refused.
pub fn read(disk: &File, size: u64, sector: u64) -> Result<Option<Table>> {
    if let Some(table) = gpt::read(disk, size, sector)? {
        return Ok(Some(table));
    }
    let read = if sector == 512 { mbr::read(disk, size)? } else { None };
    Ok(read.map(|mbr::Partitions { boot, linux, others }| {
        // Those for Linux; which of them are slots, the boot partition says (`Table::with_slots`).
        let slots = (0..).map_while(Slot::at).zip(linux).collect();
        let unnamed = |(region, partuuid)| (region, String::new(), partuuid);
        let shared = std::iter::once(boot).chain(others).map(unnamed).collect();
        Table { kind: TableKind::Mbr, sector, boot: boot.0, slots, data: None, shared }
    }))
}

impl Table {
    /// The same with the slots that the boot partition tells: an MBR has no names. A partition that is not
    /// where it was made is refused: what stands there now may be anything.
    pub fn with_slots(mut self, places: Option<BTreeMap<Slot, Region>>) -> Result<Table> {
        if self.kind == TableKind::Gpt {
            return Ok(self);
        }
        let mut found: Vec<_> = std::mem::take(&mut self.slots).into_values().collect();
        for (slot, place) in places.unwrap_or_default() {
            let at = found.iter().position(|(region, _)| *region == place).ok_or_else(|| {
                let found =
                    format!("slot {slot} was made as partition {}, which is gone or another one now", place.number);
                refused(found, "mend the partition table: sfdisk; or make the disk anew: flipslot create")
            })?;
            self.slots.insert(slot, found.remove(at));
        }
        let last = self.slots.values().map(|(region, _)| region.number).max().unwrap_or(0);
        self.data = found.iter().map(|(region, _)| region.number).filter(|number| *number > last).min();
        self.shared.extend(found.into_iter().map(|(region, partuuid)| (region, String::new(), partuuid)));
        Ok(self)
    }
}

/// A table as others describe it: what `sgdisk --print` and `--info` show, or `sfdisk --json`.
#[derive(Debug, Serialize)]
pub struct Described {
    /// Its kind.
    pub kind: TableKind,
    /// Bytes of a logical sector.
    pub sector: u64,
    /// The disk's GUID; of an MBR its signature, eight hexadecimal digits.
    pub guid: String,
    /// Its partitions, by number.
    pub partitions: Vec<DescribedPartition>,
}

/// A partition of it.
#[derive(Debug, Serialize)]
pub struct DescribedPartition {
    /// Its number.
    pub number: u32,
    /// Its name; empty in an MBR.
    pub name: String,
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
    /// Its type: a GUID; of an MBR two hexadecimal digits.
    pub r#type: String,
    /// What Linux calls PARTUUID.
    pub guid: String,
}

/// Describes the table of `disk` as it stands there.
pub fn describe(disk: &File, size: u64, sector: u64) -> Result<Described> {
    if let Some(described) = gpt::describe(disk, sector) {
        return Ok(described);
    }
    let none = || failed("the table that was written cannot be read", "check the disk of that file: dmesg");
    mbr::describe(disk, size)?.ok_or_else(none)
}

/// The logical sector of a disk file, told by where its GPT stands: 512 bytes, or 4096.
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
    use crate::disk::layout::{Data, Wish};
    use crate::units::Bytes;

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
        assert!(error.contains("does not lie where it may"), "{error}");
    }
}
