//! Renders the MBR of a new disk: four entries in the first sector, and a chain of more in the extended
//! partition.

use crate::disk::new::layout::Layout;
use crate::disk::table::mbr_sector::{
    ACTIVE, ENTRIES, ESP, EXTENDED, GAP, LINUX, PRIMARY, SIGNATURE, Slice, sector, slice,
};
use crate::error::Result;
use crate::words::region::{Region, Run};

/// Renders the table of a disk with this signature. The boot code before the signature is not touched.
pub fn table(layout: &Layout, disk: u32) -> Result<Vec<Run>> {
    let linux = || layout.slots.iter().chain(&layout.data).copied();
    let mut first = sector();
    first[SIGNATURE..SIGNATURE + 4].copy_from_slice(&disk.to_le_bytes());
    let entry = |number: u32| ENTRIES + 16 * (number as usize - 1);
    let mut put = |number: u32, slice: Slice| {
        first[entry(number)..entry(number) + 16].copy_from_slice(&slice.bytes());
    };
    put(layout.boot.number, slice(ESP, layout.boot, 0)?);
    for region in linux().filter(|region| region.number < PRIMARY) {
        put(region.number, slice(LINUX, region, 0)?);
    }
    let logical: Vec<Region> = linux().filter(|region| region.number > PRIMARY).collect();
    let mut writes = Vec::new();
    if let [begin, .., end] | [begin @ end] = logical[..] {
        let start = begin.start - GAP;
        let extended = Region { number: PRIMARY, start, size: end.start + end.size - start };
        put(PRIMARY, slice(EXTENDED[0], extended, 0)?);
        writes = chain(&logical, start)?;
    }
    first[entry(layout.boot.number)] = ACTIVE;
    writes.push(Run { offset: SIGNATURE as u64, bytes: first[SIGNATURE..].to_vec() });
    Ok(writes)
}

/// Renders the sectors that describe logical partitions: each holds its own partition, counted from that
/// sector, and the position of the next such sector, counted from the first.
fn chain(logical: &[Region], extended: u64) -> Result<Vec<Run>> {
    let mut writes = Vec::new();
    for (index, region) in logical.iter().enumerate() {
        let place = region.start - GAP;
        let mut bytes = sector();
        bytes[ENTRIES..ENTRIES + 16].copy_from_slice(&slice(LINUX, *region, place)?.bytes());
        if let Some(next) = logical.get(index + 1) {
            let all = Region { number: 0, start: next.start - GAP, size: next.size + GAP };
            let link = slice(EXTENDED[1], all, extended)?.bytes();
            bytes[ENTRIES + 16..ENTRIES + 32].copy_from_slice(&link);
        }
        writes.push(Run { offset: place, bytes });
    }
    Ok(writes)
}
