//! Reads the partition table of a disk, GPT or MBR.

use crate::disk::table::described::Described;
use crate::disk::table::partitions::Table;
use crate::disk::table::{gpt, mbr};
use crate::error::{Result, failed};
use crate::words::region::TableKind;
use crate::words::slot::Slot;
use std::fs::File;
use std::os::unix::fs::FileExt;

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
