//! The sectors of an MBR: their size and limits, their layout, and one entry.

use crate::error::Result;
use crate::words::region::Region;
use crate::words::units::MIB;
use anyhow::Context;

/// Size of a sector in bytes; flipslot makes no MBR disks with sectors of 4096.
pub const SECTOR: u64 = 512;
/// Limit of an MBR in bytes: 32 bits of sectors.
pub const END: u64 = (1 << 32) * SECTOR;
/// Offset in the first sector of the disk's signature (UEFI specification 2.10, 5.2.1, as for what follows).
pub const SIGNATURE: usize = 0x1b8;
/// Offset of the first of four entries of 16 bytes.
pub const ENTRIES: usize = 0x1be;
/// Offset of the mark at the end of the sector, and the mark.
pub const MARK: (usize, [u8; 2]) = (0x1fe, [0x55, 0xaa]);
/// First byte of the entry of an active partition: some firmware starts no disk without one.
pub const ACTIVE: u8 = 0x80;
/// Partition type: EFI system partition (UEFI specification 2.10, 5.2.2).
pub const ESP: u8 = 0xef;
/// Partition type: Linux.
pub const LINUX: u8 = 0x83;
/// Partition types: extended, by LBA first.
pub const EXTENDED: [u8; 3] = [0x0f, 0x05, 0x85];
/// Partition type: the one that protects a GPT.
pub const PROTECTIVE: u8 = 0xee;
/// Number of primary entries; flipslot's fourth partition is logical, and has the number 5.
pub const PRIMARY: u32 = 4;
/// Space before a logical partition, for the sector that describes it; a whole MiB keeps the next one aligned.
pub const GAP: u64 = MIB;

/// One entry of a table.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    /// Partition type.
    pub kind: u8,
    /// First sector, counted from a base that depends on the entry.
    pub start: u32,
    /// Length in sectors.
    pub sectors: u32,
}

impl Slice {
    /// Renders the 16-byte entry; its fields for cylinders hold the marker for "use LBA".
    pub fn bytes(self) -> [u8; 16] {
        const NO_CYLINDERS: [u8; 3] = [0xfe, 0xff, 0xff];
        let mut bytes = [0; 16];
        bytes[1..4].copy_from_slice(&NO_CYLINDERS);
        bytes[4] = self.kind;
        bytes[5..8].copy_from_slice(&NO_CYLINDERS);
        bytes[8..12].copy_from_slice(&self.start.to_le_bytes());
        bytes[12..].copy_from_slice(&self.sectors.to_le_bytes());
        bytes
    }

    /// Reads a 16-byte entry; `None` if it is empty.
    pub fn parse(bytes: &[u8]) -> Option<Slice> {
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let found = Slice { kind: *bytes.get(4)?, start: number(8)?, sectors: number(12)? };
        (found.kind != 0 && found.sectors != 0).then_some(found)
    }
}

/// Converts `region` to sectors, counted from byte `from`. Fails beyond 32 bits.
pub fn slice(kind: u8, region: Region, from: u64) -> Result<Slice> {
    let sectors = |bytes: u64| u32::try_from(bytes / SECTOR).context("an MBR has 32 bits for sectors");
    Ok(Slice { kind, start: sectors(region.start - from)?, sectors: sectors(region.size)? })
}

/// Makes a sector with an empty table.
pub fn sector() -> Vec<u8> {
    let mut bytes = vec![0; MARK.0 + 2];
    bytes[MARK.0..].copy_from_slice(&MARK.1);
    bytes
}
