//! A GPT as written to a copy: with GUIDs of its own, and its backup at the end of the new disk.

use crate::disk::table::ids::Ids;
use crate::error::{Result, refused};
use crate::words::partuuid::PartUuid;
use crate::words::region::{Region, Run};
use crate::words::units::MIB;
use anyhow::{Context, bail};
use gptman::{GPT, GPTPartitionEntry};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use uuid::Uuid;

/// Size of 128 entries in bytes (UEFI specification 2.10, 5.3.1).
const ENTRIES: u64 = 128 * 128;

/// The GPT of the disk that is copied.
pub struct GoldenGpt(GPT);

impl GoldenGpt {
    /// Reads the GPT of a disk that [`crate::disk::table::read::read`] has accepted. Refuses an unusual layout.
    pub fn read(disk: &File, sector: u64) -> Result<GoldenGpt> {
        let gpt = GPT::read_from(&mut &*disk, sector).context("reading the partition table")?;
        if gpt.header.partition_entry_lba != 2 || gpt.header.number_of_partition_entries > 128 {
            let found =
                "the partition table does not have the layout that flipslot needs (128 entries from sector 2 on)";
            return Err(refused(found, "copy the disk byte by byte (dd), or make one with flipslot create"));
        }
        Ok(GoldenGpt(gpt))
    }

    /// Returns the size of the backup table in bytes: entries and a header.
    pub fn backup(sector: u64) -> u64 {
        ENTRIES + sector
    }

    /// Returns the disk's GUID.
    pub fn disk_guid(&self) -> Uuid {
        Uuid::from_bytes_le(self.0.header.disk_guid)
    }

    /// Lists the partitions in the order of their numbers, wherever they are, each with its name and PARTUUID.
    pub fn parts(&self) -> Result<Vec<(Region, String, PartUuid)>> {
        let sector = self.0.sector_size;
        let used = self.0.iter().filter(|(_, entry)| entry.is_used());
        let part = |(number, entry): (u32, &GPTPartitionEntry)| {
            let start = entry.starting_lba.checked_mul(sector)?;
            let size = entry.ending_lba.checked_add(1)?.checked_sub(entry.starting_lba)?.checked_mul(sector)?;
            start.checked_add(size)?;
            let name = entry.partition_name.as_str().to_owned();
            let partuuid = PartUuid::Gpt(Uuid::from_bytes_le(entry.unique_partition_guid));
            Some((Region { number, start, size }, name, partuuid))
        };
        let parts = used.map(part).collect::<Option<Vec<_>>>();
        parts.ok_or_else(|| {
            refused("a partition is at a position that no disk has", "check the table: sgdisk --verify DISK")
        })
    }

    /// Renders the table of a copy of `size` bytes on which the last partition becomes `data`. `first_mib` is
    /// the first MiB of the golden disk.
    pub fn renewed(&self, ids: &Ids, size: u64, data: Option<Region>, mut first_mib: Vec<u8>) -> Result<Vec<Run>> {
        let Ids::Gpt(disk_guid, partitions) = ids else { bail!("a GPT has GUIDs") };
        let (mut gpt, sector) = (self.0.clone(), self.0.sector_size);
        gpt.header.disk_guid = disk_guid.to_bytes_le();
        let mut disk = Ends { size, at: 0, first: &mut first_mib, last: BTreeMap::new() };
        gpt.header.update_from(&mut disk, sector).context("laying out the partition table")?;
        for (number, guid) in partitions {
            gpt[*number].unique_partition_guid = guid.to_bytes_le();
        }
        if let Some(data) = data {
            gpt[data.number].ending_lba = (data.start + data.size) / sector - 1;
        }
        GPT::write_protective_mbr_into(&mut disk, sector).context("writing the protective MBR")?;
        gpt.write_into(&mut disk).context("writing the partition table")?;
        let backup = disk.backup()?;
        Ok(vec![Run { offset: 0, bytes: first_mib }, backup])
    }
}

/// Both ends of a disk, as gptman writes them.
struct Ends<'f> {
    size: u64,
    at: u64,
    first: &'f mut [u8],
    last: BTreeMap<u64, Vec<u8>>,
}

impl Ends<'_> {
    /// Returns what was written at the end, as one run.
    fn backup(&self) -> Result<Run> {
        let start = *self.last.keys().next().context("no backup table was written")?;
        let mut bytes = vec![0; usize::try_from(self.size - start)?];
        for (at, part) in &self.last {
            let at = usize::try_from(at - start)?;
            bytes.get_mut(at..at + part.len()).context("the backup table does not fit")?.copy_from_slice(part);
        }
        Ok(Run { offset: start, bytes })
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
