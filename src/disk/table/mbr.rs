//! Reads the MBR partition table: four entries in the first sector, and a chain of more in the extended
//! partition. Nothing that is accepted leaves the disk or overlaps.

use crate::disk::table::described::{Described, DescribedPartition};
use crate::disk::table::mbr_sector::{
    ENTRIES, ESP, EXTENDED, LINUX, MARK, PRIMARY, PROTECTIVE, SECTOR, SIGNATURE, Slice, sector,
};
use crate::error::{Result, refused};
use crate::words::partuuid::PartUuid;
use crate::words::region::{Region, Run, TableKind};
use anyhow::Context;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Limit of logical partitions, more than there can be slots: a chain that is read may be a circle.
const LOGICAL_MAX: u32 = 128;

/// The partitions of an MBR disk; the table has no names for them.
#[derive(Debug)]
pub struct Partitions {
    /// The EFI system partition.
    pub boot: (Region, PartUuid),
    /// Partitions of type Linux, by number.
    pub linux: Vec<(Region, PartUuid)>,
    /// All other partitions, except the extended one.
    pub others: Vec<(Region, PartUuid)>,
}

/// Returns whether the first sector says that a GPT follows.
pub fn is_protective(disk: &File) -> Result<bool> {
    let first = entries_at(disk, 0)?;
    Ok(first.is_some_and(|first| first.slices.iter().flatten().any(|slice| slice.kind == PROTECTIVE)))
}

/// Reads the table of `disk`, which is `size` bytes long; `None` if it has none, or one without an EFI system
/// partition and one for Linux. Refuses partitions that leave the disk or overlap.
pub fn read(disk: &File, size: u64) -> Result<Option<Partitions>> {
    let Some(first) = entries_at(disk, 0)? else { return Ok(None) };
    let has = |wanted: &dyn Fn(u8) -> bool| first.slices.iter().flatten().any(|slice| wanted(slice.kind));
    let is_extended = |kind: u8| EXTENDED.contains(&kind);
    if has(&|kind| kind == PROTECTIVE) || !has(&|kind| kind == ESP) || !has(&|kind| kind == LINUX || is_extended(kind))
    {
        return Ok(None);
    }
    let mut found = Vec::new();
    let mut primary = Vec::new();
    for (number, slice) in (1..).zip(first.slices).filter_map(|(number, slice)| Some((number, slice?))) {
        let region = region(number, slice, 0, size)?;
        primary.push(region);
        if is_extended(slice.kind) {
            found.extend(logical(disk, region)?.into_iter().map(|own| (own.kind, own.region)));
        } else {
            found.push((slice.kind, region));
        }
    }
    if primary.len() > 1 && first.slices.iter().flatten().filter(|slice| is_extended(slice.kind)).count() > 1 {
        return Err(refused("the disk has two extended partitions", REPAIR));
    }
    refuse_overlaps(primary)?;
    found.sort_by_key(|(_, region)| region.number);
    let named = |region: Region| (region, PartUuid::Mbr { disk: first.signature, number: region.number });
    let (linux, mut others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(kind, _)| *kind == LINUX);
    // Of several EFI system partitions, the first is ours.
    let boot = others.iter().position(|(kind, _)| *kind == ESP).filter(|_| !linux.is_empty());
    let Some((_, boot)) = boot.map(|boot| others.remove(boot)) else { return Ok(None) };
    let all = |of: Vec<(u8, Region)>| of.into_iter().map(|(_, region)| named(region)).collect();
    Ok(Some(Partitions { boot: named(boot), linux: all(linux), others: all(others) }))
}

/// Describes the table that is on `disk`; `None` if it is not one that flipslot writes.
pub fn describe(disk: &File, size: u64) -> Result<Option<Described>> {
    let Some(Partitions { boot, linux, .. }) = read(disk, size)? else { return Ok(None) };
    let PartUuid::Mbr { disk: signature, .. } = boot.1 else { return Ok(None) };
    let all = std::iter::once((boot, ESP)).chain(linux.into_iter().map(|partition| (partition, LINUX)));
    let partitions = all.map(|((region, partuuid), kind)| DescribedPartition {
        number: region.number,
        name: String::new(),
        start: region.start,
        size: region.size,
        r#type: format!("{kind:02x}"),
        guid: partuuid.to_string(),
    });
    let (kind, guid) = (TableKind::Mbr, format!("{signature:08x}"));
    Ok(Some(Described { kind, sector: SECTOR, guid, partitions: partitions.collect() }))
}

/// A sector with entries.
struct Entries {
    signature: u32,
    slices: [Option<Slice>; 4],
}

fn entries_at(disk: &File, at: u64) -> Result<Option<Entries>> {
    let mut bytes = sector();
    if disk.read_exact_at(&mut bytes, at).is_err() || bytes[MARK.0..] != MARK.1 {
        return Ok(None);
    }
    let signature = bytes[SIGNATURE..SIGNATURE + 4].try_into().context("four bytes")?;
    let entry = |index: usize| Slice::parse(&bytes[ENTRIES + 16 * index..ENTRIES + 16 * (index + 1)]);
    Ok(Some(Entries { signature: u32::from_le_bytes(signature), slices: [0, 1, 2, 3].map(entry) }))
}

/// A logical partition, which is in the extended one.
struct Logical {
    kind: u8,
    region: Region,
    /// Offset of the sector that describes it.
    place: u64,
}

/// Returns the extended partition, with the number of its entry, and the offsets of the chain's sectors;
/// `None` without an extended partition.
pub(super) fn chain_of(disk: &File, size: u64) -> Result<Option<(Region, Vec<u64>)>> {
    let Some(first) = entries_at(disk, 0)? else { return Ok(None) };
    let mut slices = (1..).zip(first.slices).filter_map(|(number, slice)| Some((number, slice?)));
    let Some((number, slice)) = slices.find(|(_, slice)| EXTENDED.contains(&slice.kind)) else { return Ok(None) };
    let extended = region(number, slice, 0, size)?;
    let places = logical(disk, extended)?.into_iter().map(|own| own.place);
    Ok(Some((extended, places.collect())))
}

/// Reads the logical partitions in an extended one. Each sector of the chain describes one, and the position
/// of the next; a sector with anything else is refused, because systems count such partitions differently.
fn logical(disk: &File, extended: Region) -> Result<Vec<Logical>> {
    let end = extended.start + extended.size;
    let (mut found, mut taken) = (Vec::new(), Vec::new());
    let mut place = extended.start;
    for number in PRIMARY + 1..=PRIMARY + LOGICAL_MAX {
        let odd = || refused(format!("the sector that must describe logical partition {number} is not valid"), REPAIR);
        let Entries { slices: [own, next, ..], .. } = entries_at(disk, place)?.ok_or_else(odd)?;
        let own = own.filter(|own| !EXTENDED.contains(&own.kind)).ok_or_else(odd)?;
        let region_of_own = region(number, own, place, end)?;
        taken.extend([Region { number, start: place, size: SECTOR }, region_of_own]);
        found.push(Logical { kind: own.kind, region: region_of_own, place });
        let Some(next) = next else {
            refuse_overlaps(taken)?;
            return Ok(found);
        };
        if !EXTENDED.contains(&next.kind) {
            return Err(odd());
        }
        place = region(number, next, extended.start, end)?.start;
    }
    Err(refused("the chain of logical partitions has no end", REPAIR))
}

/// Hint for a table that cannot be right.
const REPAIR: &str = "repair the partition table first: sfdisk --verify DISK";

/// Returns the position of a partition, on a disk or in an extended partition that ends at `end`. Refuses one
/// that leaves it, or covers the table.
fn region(number: u32, slice: Slice, from: u64, end: u64) -> Result<Region> {
    let (start, size) = (from + u64::from(slice.start) * SECTOR, u64::from(slice.sectors) * SECTOR);
    if start + size > end || start < SECTOR {
        return Err(refused(
            format!("partition {number} is not within the disk or its extended partition, or covers the table"),
            REPAIR,
        ));
    }
    Ok(Region { number, start, size })
}

fn refuse_overlaps(mut regions: Vec<Region>) -> Result<()> {
    regions.sort_by_key(|region| region.start);
    for pair in regions.windows(2) {
        let [one, two] = pair else { continue };
        if one.start + one.size > two.start {
            let found = format!(
                "partitions {} and {} overlap: writing one would destroy the other",
                one.number.min(two.number),
                one.number.max(two.number)
            );
            return Err(refused(found, REPAIR));
        }
    }
    Ok(())
}

/// Checks an MBR that is about to be written to a disk of `size` bytes, and returns it: it can be read again,
/// nothing in it overlaps or leaves the disk, and its chain has an end.
pub fn checked(table: Vec<Run>, size: u64) -> Result<Vec<Run>> {
    let disk = File::from(memfd_create("table", MemfdFlags::CLOEXEC).context("making a file in memory for a table")?);
    disk.set_len(size)?;
    for run in &table {
        disk.write_all_at(&run.bytes, run.offset)?;
    }
    let found = read(&disk, size).context("reading the table that would be written")?;
    found.map(|_| table).context("the table that would be written cannot be read")
}
