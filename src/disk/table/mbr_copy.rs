//! An MBR as written to a copy: with a signature of its own, which is in the name of every partition.

use crate::disk::table::ids::Ids;
use crate::disk::table::mbr;
use crate::disk::table::mbr_sector::{ENTRIES, PRIMARY, SECTOR, SIGNATURE};
use crate::error::Result;
use crate::words::region::{Region, Run};
use anyhow::{Context, bail};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Offset in an entry of the number of sectors of its partition.
const SECTORS: usize = 12;

/// The parts of the golden disk's MBR that may change on a copy.
pub struct GoldenMbr {
    /// Extended partition; its number is that of its entry.
    extended: Option<Region>,
    /// Sectors that describe logical partitions.
    chain: Vec<Run>,
}

impl GoldenMbr {
    /// Reads the MBR of a disk of `size` bytes, which [`crate::disk::table::read::read`] has accepted.
    pub fn read(disk: &File, size: u64) -> Result<GoldenMbr> {
        let Some((extended, places)) = mbr::chain_of(disk, size)? else {
            return Ok(GoldenMbr { extended: None, chain: Vec::new() });
        };
        let mut chain = Vec::new();
        for place in places {
            let mut bytes = vec![0; usize::try_from(SECTOR)?];
            disk.read_exact_at(&mut bytes, place).context("reading the partition table")?;
            chain.push(Run { offset: place, bytes });
        }
        Ok(GoldenMbr { extended: Some(extended), chain })
    }

    /// Returns the end of the extended partition in bytes, 0 without one. It may be longer than the partitions in it.
    pub fn extended_end(&self) -> u64 {
        self.extended.map_or(0, |extended| extended.start + extended.size)
    }

    /// Renders the table of a copy on which the last partition becomes `data`. `first_mib` is the first MiB
    /// of the golden disk, and is changed in place.
    pub fn renewed(&self, ids: &Ids, data: Option<Region>, mut first_mib: Vec<u8>) -> Result<Vec<Run>> {
        let Ids::Mbr(signature) = ids else { bail!("an MBR has a signature") };
        first_mib[SIGNATURE..SIGNATURE + 4].copy_from_slice(&signature.to_le_bytes());
        let mut chain = self.chain.clone();
        if let Some(data) = data {
            self.lengthen_data(data, &mut first_mib, &mut chain)?;
        }
        Ok([vec![Run { offset: 0, bytes: first_mib }], chain].concat())
    }

    /// Extends the last partition to the length of `data`, and the extended one with it.
    fn lengthen_data(&self, data: Region, first: &mut [u8], chain: &mut [Run]) -> Result<()> {
        let end = data.start + data.size;
        let Some(extended) = self.extended.filter(|_| data.number > PRIMARY) else {
            return lengthen(first, data.number, data.size);
        };
        lengthen(first, extended.number, end.max(extended.start + extended.size) - extended.start)?;
        // Its own sector has its length, and the one before in the chain has the length of that sector and
        // the partition together.
        let index = (data.number - PRIMARY - 1) as usize;
        let own = chain.get_mut(index).context("a logical partition has no sector")?;
        let place = own.offset;
        lengthen(&mut own.bytes, 1, data.size)?;
        match index.checked_sub(1).and_then(|index| chain.get_mut(index)) {
            Some(link) => lengthen(&mut link.bytes, 2, end - place),
            None => Ok(()),
        }
    }
}

/// Sets the length of an entry's partition to `bytes`. Fails beyond 32 bits of sectors.
fn lengthen(sector: &mut [u8], entry: u32, bytes: u64) -> Result<()> {
    let at = ENTRIES + 16 * (entry as usize - 1) + SECTORS;
    let sectors = u32::try_from(bytes / SECTOR).context("an MBR has 32 bits for sectors")?;
    sector[at..at + 4].copy_from_slice(&sectors.to_le_bytes());
    Ok(())
}
