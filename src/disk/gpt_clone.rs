//! The table of a disk that is copied, as it is to stand on the copy: same partitions, GUIDs of its
//! own, the backup at the end of the new disk. GPT with 512-byte sectors alone.

use crate::disk::layout::Region;
use crate::error::{Result, refused};
use crate::units::MIB;
use anyhow::Context;
use gptman::{GPT, GPTPartitionEntry};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use uuid::Uuid;

/// Bytes of a logical sector.
pub const SECTOR: u64 = 512;
/// Sectors of the backup table: 32 of entries and its header (UEFI specification 2.10, 5.3.1).
const BACKUP: u64 = 33;

/// A partition of the disk that is copied.
#[derive(Debug, Clone)]
pub struct Part {
    /// Where it is.
    pub region: Region,
    /// Its name in the table.
    pub name: String,
    /// Its GUID, which Linux calls PARTUUID.
    pub guid: Uuid,
}

/// The table of the disk that is copied.
pub struct GoldenTable {
    gpt: GPT,
    /// Its partitions, in the order of their numbers.
    pub parts: Vec<Part>,
}

/// The GUIDs that a copy gets.
#[derive(Debug, Clone)]
pub struct NewGuids {
    /// The disk's.
    pub disk: Uuid,
    /// Each partition's, by its number.
    pub partitions: BTreeMap<u32, Uuid>,
}

/// The table of a copy, as bytes.
pub struct NewTable {
    /// The first MiB: boot code, protective MBR, primary table.
    pub first_mib: Vec<u8>,
    /// The backup table, and where it belongs.
    pub backup: (u64, Vec<u8>),
}

impl GoldenTable {
    /// Reads it; [`crate::disk::table::read`] has accepted it.
    pub fn read(disk: &File) -> Result<GoldenTable> {
        let gpt = GPT::read_from(&mut &*disk, SECTOR).context("reading the partition table")?;
        if gpt.header.partition_entry_lba != 2 || gpt.header.number_of_partition_entries > 128 {
            let found = "the partition table is not laid out as flipslot and most programs do it (128 entries from sector 2 on)";
            return Err(refused(found, "copy the disk bit by bit (dd), or make one with flipslot create"));
        }
        let used = gpt.iter().filter(|(_, entry)| entry.is_used());
        let part = |(number, entry): (u32, &GPTPartitionEntry)| {
            let start = entry.starting_lba.checked_mul(SECTOR)?;
            let size = entry.ending_lba.checked_add(1)?.checked_sub(entry.starting_lba)?.checked_mul(SECTOR)?;
            start.checked_add(size)?;
            let (name, guid) = (entry.partition_name.as_str().to_owned(), entry.unique_partition_guid);
            Some(Part { region: Region { number, start, size }, name, guid: Uuid::from_bytes_le(guid) })
        };
        let parts = used.map(part).collect::<Option<Vec<Part>>>();
        let parts = parts.ok_or_else(|| refused("a partition does not lie on any disk", "sgdisk --verify DISK"))?;
        Ok(GoldenTable { gpt, parts })
    }

    /// The disk's GUID.
    pub fn disk_guid(&self) -> Uuid {
        Uuid::from_bytes_le(self.gpt.header.disk_guid)
    }

    /// Where the last partition ends, in bytes: what lies behind it is the backup table alone.
    pub fn end(&self) -> u64 {
        self.parts.iter().map(|part| part.region.start + part.region.size).max().unwrap_or(0)
    }

    /// The smallest disk that can be a copy, in bytes.
    pub fn smallest(&self) -> u64 {
        self.end() + BACKUP * SECTOR
    }

    /// Where `data` is on a copy of `size` bytes, if it is the last partition: up to the last whole
    /// MiB before the backup table, and never less than it has.
    pub fn grown_data(&self, size: u64) -> Option<Region> {
        let data = self.parts.iter().find(|part| part.name == "data")?;
        let end = size.saturating_sub(BACKUP * SECTOR) / MIB * MIB;
        let is_last = data.region.start + data.region.size == self.end();
        (is_last && end > self.end()).then(|| Region { size: end - data.region.start, ..data.region })
    }

    /// The table of a copy of `size` bytes, over the first MiB of this disk.
    pub fn renewed(&self, guids: &NewGuids, size: u64, mut first_mib: Vec<u8>) -> Result<NewTable> {
        let mut gpt = self.gpt.clone();
        gpt.header.disk_guid = guids.disk.to_bytes_le();
        let mut disk = Ends { size, at: 0, first: &mut first_mib, last: BTreeMap::new() };
        gpt.header.update_from(&mut disk, SECTOR).context("laying out the partition table")?;
        for part in &self.parts {
            let number = part.region.number;
            let guid = guids.partitions.get(&number).context("a partition has no new GUID")?;
            gpt[number].unique_partition_guid = guid.to_bytes_le();
        }
        if let Some(data) = self.grown_data(size) {
            gpt[data.number].ending_lba = (data.start + data.size) / SECTOR - 1;
        }
        GPT::write_protective_mbr_into(&mut disk, SECTOR).context("writing the protective MBR")?;
        gpt.write_into(&mut disk).context("writing the partition table")?;
        let backup = disk.backup()?;
        Ok(NewTable { first_mib, backup })
    }
}

/// The two ends of a disk, as gptman writes them.
struct Ends<'f> {
    size: u64,
    at: u64,
    first: &'f mut [u8],
    last: BTreeMap<u64, Vec<u8>>,
}

impl Ends<'_> {
    /// What was written at the end, as one run of bytes.
    fn backup(&self) -> Result<(u64, Vec<u8>)> {
        let start = *self.last.keys().next().context("no backup table was written")?;
        let mut bytes = vec![0; usize::try_from(self.size - start)?];
        for (at, part) in &self.last {
            let at = usize::try_from(at - start)?;
            bytes.get_mut(at..at + part.len()).context("the backup table does not fit")?.copy_from_slice(part);
        }
        Ok((start, bytes))
    }
}

impl Write for Ends<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at < MIB {
            let mut first = Cursor::new(&mut *self.first);
            first.set_position(self.at);
            first.write_all(bytes)?;
        } else {
            self.last.insert(self.at, bytes.to_vec());
        }
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Ends<'_> {
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
