//! An MBR as it is to stand on a copy: a signature of its own, which is in the name of every partition.

use crate::disk::layout::Region;
use crate::disk::mbr::{self, ENTRIES, PRIMARY, SECTOR, SIGNATURE};
use crate::disk::table::Ids;
use crate::error::Result;
use anyhow::{Context, bail};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Where an entry says how many sectors its partition has.
const SECTORS: usize = 12;

/// What of the MBR of the disk that is copied may change on a copy.
pub struct GoldenMbr {
    /// The extended partition; its number is that of its entry.
    extended: Option<Region>,
    /// The sectors that describe logical partitions, each with its offset.
    chain: Vec<(u64, Vec<u8>)>,
}

impl GoldenMbr {
    /// Reads it; [`crate::disk::table::read`] has accepted it, and the disk has `size` bytes.
    pub fn read(disk: &File, size: u64) -> Result<GoldenMbr> {
        let Some((extended, places)) = mbr::chain_of(disk, size)? else {
            return Ok(GoldenMbr { extended: None, chain: Vec::new() });
        };
        let mut chain = Vec::new();
        for place in places {
            let mut sector = vec![0; usize::try_from(SECTOR)?];
            disk.read_exact_at(&mut sector, place).context("reading the partition table")?;
            chain.push((place, sector));
        }
        Ok(GoldenMbr { extended: Some(extended), chain })
    }

    /// Where the extended partition ends; 0 without one. It may be longer than those in it.
    pub fn extended_end(&self) -> u64 {
        self.extended.map_or(0, |extended| extended.start + extended.size)
    }

    /// The table of a copy with that `data`, the last partition, over the first MiB of this disk.
    pub fn renewed(&self, ids: &Ids, data: Option<Region>, mut first_mib: Vec<u8>) -> Result<Vec<(u64, Vec<u8>)>> {
        let Ids::Mbr(signature) = ids else { bail!("an MBR has a signature") };
        first_mib[SIGNATURE..SIGNATURE + 4].copy_from_slice(&signature.to_le_bytes());
        let mut chain = self.chain.clone();
        if let Some(data) = data {
            self.lengthen_data(data, &mut first_mib, &mut chain)?;
        }
        Ok([vec![(0, first_mib)], chain].concat())
    }

    /// Makes the last partition so long as `data`, and the extended one with it.
    fn lengthen_data(&self, data: Region, first: &mut [u8], chain: &mut [(u64, Vec<u8>)]) -> Result<()> {
        let end = data.start + data.size;
        let Some(extended) = self.extended.filter(|_| data.number > PRIMARY) else {
            return lengthen(first, data.number, data.size);
        };
        lengthen(first, extended.number, end.max(extended.start + extended.size) - extended.start)?;
        // Its own sector says how long it is, and the one before in the chain how long both are together.
        let index = (data.number - PRIMARY - 1) as usize;
        let (place, own) = chain.get_mut(index).context("a logical partition has no sector")?;
        let place = *place;
        lengthen(own, 1, data.size)?;
        match index.checked_sub(1).and_then(|index| chain.get_mut(index)) {
            Some((_, link)) => lengthen(link, 2, end - place),
            None => Ok(()),
        }
    }
}

/// Makes the partition of an entry so many bytes long.
fn lengthen(sector: &mut [u8], entry: u32, bytes: u64) -> Result<()> {
    let at = ENTRIES + 16 * (entry as usize - 1) + SECTORS;
    let sectors = u32::try_from(bytes / SECTOR).context("an MBR has 32 bits for sectors")?;
    sector[at..at + 4].copy_from_slice(&sectors.to_le_bytes());
    Ok(())
}
