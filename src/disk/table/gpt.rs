//! Reads a GPT, and refuses one that is not consistent.

use crate::disk::table::described::{Described, DescribedPartition};
use crate::disk::table::mbr;
use crate::disk::table::partitions::Table;
use crate::error::{Result, refused};
use crate::words::partuuid::PartUuid;
use crate::words::region::{Region, TableKind};
use crate::words::slot::Slot;
use crate::words::units::MIB;
use gptman::{GPT, GPTPartitionEntry};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use uuid::{Uuid, uuid};

/// Partition type: EFI system partition (UEFI specification 2.10, 5.3.3).
pub const TYPE_ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// Partition type: x86-64 root (Discoverable Partitions Specification).
pub const TYPE_ROOT: Uuid = uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
/// Room at the end of the disk: the backup of a GPT takes 33 sectors; a whole MiB keeps the last partition aligned.
pub const LAST: u64 = MIB;

/// Reads the table of `disk`, which is `size` bytes long; `None` if it is not one of ours. Refuses a damaged
/// or inconsistent table, and partitions of ours that are not within the disk.
pub fn read(disk: &File, size: u64, sector: u64) -> Result<Option<Table>> {
    refuse_absurd(disk, sector, sector)?;
    let is_gpt = has_header(disk, sector) || mbr::is_protective(disk)?;
    if !is_gpt && !is_gone(disk) {
        return Ok(None); // what an older use of the disk left at its end does not count
    }
    if size > sector {
        refuse_absurd(disk, (size / sector - 1) * sector, sector)?;
    }
    let Ok(gpt) = GPT::read_from(&mut &*disk, sector) else { return Ok(None) };
    if !is_gpt {
        return refuse_gone(&gpt);
    }
    refuse_damaged(&gpt)?;
    let mut boot = None;
    let mut slots = BTreeMap::new();
    let mut shared = Vec::new();
    for (number, entry) in gpt.iter().filter(|(_, entry)| entry.is_used()) {
        let name = entry.partition_name.as_str();
        let kind = Uuid::from_bytes_le(entry.partition_type_guid);
        let guid = PartUuid::Gpt(Uuid::from_bytes_le(entry.unique_partition_guid));
        let slot = name.strip_prefix("slot-").and_then(|letter| letter.parse::<Slot>().ok());
        let slot = slot.filter(|_| kind == TYPE_ROOT); // else the name is used for something else
        let region = region(number, entry, size, sector);
        if slot.is_none() {
            shared.extend(region.map(|region| (region, name.to_owned(), guid)));
            if (name, kind) != ("boot", TYPE_ESP) {
                continue;
            }
        }
        let region = region.ok_or_else(|| {
            let found = format!("partition {number} ({name}) does not lie on the disk");
            refused(found, "repair the partition table first: sgdisk --verify DISK")
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
    let kind = TableKind::Gpt;
    let data = shared.iter().find(|(_, name, _)| name == "data").map(|(region, ..)| region.number);
    Ok(boot.filter(|_| !slots.is_empty()).map(|boot| Table { kind, sector, boot, slots, data, shared }))
}

/// Describes the table that is on `disk`; `None` if it is not a GPT.
pub fn describe(disk: &File, sector: u64) -> Option<Described> {
    if !has_header(disk, sector) && !mbr::is_protective(disk).ok()? {
        return None; // the backup of another table may be at the end
    }
    let gpt = GPT::read_from(&mut &*disk, sector).ok()?;
    let used = gpt.iter().filter(|(_, entry)| entry.is_used());
    let partitions = used.map(|(number, entry)| DescribedPartition {
        number,
        name: entry.partition_name.as_str().to_owned(),
        start: entry.starting_lba * sector,
        size: (entry.ending_lba + 1 - entry.starting_lba) * sector,
        r#type: Uuid::from_bytes_le(entry.partition_type_guid).to_string(),
        guid: Uuid::from_bytes_le(entry.unique_partition_guid).to_string(),
    });
    let guid = Uuid::from_bytes_le(gpt.header.disk_guid).to_string();
    Some(Described { kind: TableKind::Gpt, sector, guid, partitions: partitions.collect() })
}

/// Returns the position of a partition; `None` if it is not within the disk.
fn region(number: u32, entry: &GPTPartitionEntry, size: u64, sector: u64) -> Option<Region> {
    let start = entry.starting_lba.checked_mul(sector)?;
    let end = entry.ending_lba.checked_add(1)?.checked_mul(sector)?;
    (start < end && end <= size).then(|| Region { number, start, size: end - start })
}

fn has_header(disk: &File, sector: u64) -> bool {
    let mut magic = [0; 8];
    disk.read_exact_at(&mut magic, sector).is_ok() && magic == *b"EFI PART"
}

/// Refuses a header that claims more entries than any table has, before memory is allocated for them, and a
/// partition that begins with the disk (UEFI specification 2.10, 5.3.2: sector of the entries at byte 72,
/// their number at 80, size of one at 84; 5.3.3: type at byte 0, first sector at 32).
fn refuse_absurd(disk: &File, at: u64, sector: u64) -> Result<()> {
    const ENTRIES_MAX: u32 = 4096;
    let mut header = [0; 92];
    if disk.read_exact_at(&mut header, at).is_err() || !header.starts_with(b"EFI PART") {
        return Ok(()); // no table, or a damaged one, which is examined next
    }
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if number(80) > ENTRIES_MAX || number(84) != 128 {
        let found = format!("the partition table claims to have {} entries of {} bytes", number(80), number(84));
        return Err(refused(found, "repair the partition table first: sgdisk --verify DISK"));
    }
    let mut entries = vec![0; number(80) as usize * 128];
    let place = u64::from(number(72)) | u64::from(number(76)) << 32;
    let is_read = place.checked_mul(sector).is_some_and(|place| disk.read_exact_at(&mut entries, place).is_ok());
    let begins_with_disk = |entry: &[u8]| entry[..16] != [0; 16] && entry[32..40] == [0; 8];
    if is_read && entries.chunks_exact(128).any(begins_with_disk) {
        let found = "a partition of the table begins at the first byte of the disk, where the table is";
        return Err(refused(found, "repair the partition table first: sgdisk --verify DISK"));
    }
    Ok(())
}

/// Refuses a table of which only the backup is intact, and partitions that overlap.
fn refuse_damaged(gpt: &GPT) -> Result<()> {
    if !gpt.is_primary() {
        return Err(refused(
            "the partition table at the beginning of the disk is damaged; only its backup is intact",
            "restore it from the backup: sgdisk --move-second-header DISK",
        ));
    }
    let mut used: Vec<_> = gpt.iter().filter(|(_, entry)| entry.is_used()).collect();
    used.sort_by_key(|(_, entry)| entry.starting_lba);
    for pair in used.windows(2) {
        let [(one, first), (two, second)] = pair else { continue };
        if second.starting_lba <= first.ending_lba {
            let found = format!("partitions {one} and {two} overlap: writing one would destroy the other");
            return Err(refused(found, "repair the partition table first: sgdisk --verify DISK"));
        }
    }
    Ok(())
}

/// Returns whether the first 512 bytes of the disk are zeros.
fn is_gone(disk: &File) -> bool {
    let mut first = [0; 512];
    disk.read_exact_at(&mut first, 0).is_ok() && first == [0; 512]
}

/// Refuses a disk of ours that has lost its beginning. Any other disk has no table.
fn refuse_gone(gpt: &GPT) -> Result<Option<Table>> {
    let is_slot = |(_, entry): (u32, &GPTPartitionEntry)| {
        let name = entry.partition_name.as_str();
        entry.partition_type_guid == TYPE_ROOT.to_bytes_le() && name.starts_with("slot-")
    };
    if !gpt.iter().any(is_slot) {
        return Ok(None);
    }
    Err(refused(
        "the beginning of the disk is gone: its partition table and the boot code for BIOS; \
         the backup of the table is intact and has slots",
        "restore it from the backup before anything else is written: gdisk DISK, commands r, b, c, w",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a disk of `size` bytes with a header at `at`, and one entry without a first sector.
    fn disk(size: u64, at: u64, entries: u32) -> File {
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(size).unwrap();
        let mut header = [0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[72..80].copy_from_slice(&2_u64.to_le_bytes());
        header[80..84].copy_from_slice(&entries.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        disk.write_all_at(&header, at).unwrap();
        disk.write_all_at(&[1; 16], 1024).unwrap();
        disk.write_all_at(b"\xee", 0x1c2).unwrap();
        disk.write_all_at(&[1], 0x1ca).unwrap();
        disk.write_all_at(&[0x55, 0xaa], 0x1fe).unwrap();
        disk
    }

    #[test]
    fn tables_that_no_library_reads_are_refused_before_one_does() {
        let error = read(&disk(1 << 20, 512, 1), 1 << 20, 512).unwrap_err();
        assert!(error.to_string().contains("begins at the first byte of the disk"), "{error:#}");
        // A size that is not a multiple of the sector: the backup is in the last whole one.
        let size = (1 << 20) + 100;
        let error = read(&disk(size, (1 << 20) - 512, u32::MAX), size, 512);
        assert!(error.is_err_and(|error| error.to_string().contains("4294967295 entries")));
    }
}
