//! Reads the golden disk: its table, its filesystems, its boot partition. Refuses, before anything is
//! written, whatever could not be made different on each copy.

use crate::clone::source::Source;
use crate::clone::unit::CHUNK;
use crate::disk::installed::boot_files::{BootFiles, Holding, SLOT_REGIONS};
use crate::disk::installed::boot_partition::{Access, BootPartition};
use crate::disk::table::golden::{GoldenTable, Part};
use crate::disk::table::partitions::Table;
use crate::disk::table::read as table;
use crate::error::{Result, refused};
use crate::filesystem::features::Features;
use crate::filesystem::kind::Filesystem;
use crate::mount::loop_device::Loop;
use crate::tool;
use crate::words::region::Region;
use crate::words::slot::Slot;
use anyhow::Context;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use uuid::Uuid;

/// The contents of a golden disk.
pub struct Golden {
    /// The partition table.
    pub table: GoldenTable,
    /// The boot partition.
    pub boot: Region,
    /// FAT volume id of the boot partition.
    pub volume: u32,
    /// The slots and their partitions.
    pub slots: BTreeMap<Slot, Region>,
    /// Slots whose entry and record do not match.
    pub damaged: Vec<Slot>,
    /// The filesystems and their UUIDs by partition number, except for the boot partition's.
    pub filesystems: BTreeMap<u32, (Filesystem, Uuid)>,
    /// The first MiB of the disk.
    pub first_mib: Vec<u8>,
}

/// The golden disk, open for reading, with its contents.
#[derive(Clone, Copy)]
pub struct Master<'m> {
    /// The disk.
    pub source: &'m Source,
    /// Its contents.
    pub golden: &'m Golden,
}

impl Golden {
    /// Reads the golden disk behind `source`.
    pub fn look(source: &Source) -> Result<Golden> {
        let name = source.path.display();
        let none = || {
            let found = format!("{name} has no flipslot table (GPT or MBR with a boot partition and slots)");
            refused(found, "name a disk made by `flipslot create`; copy any other disk with bmaptool or dd")
        };
        let reading = || format!("reading the table of {name}");
        let found = table::read(&source.file, source.size, source.sector).with_context(reading)?.ok_or_else(none)?;
        let partition = BootPartition::open(&source.file, None, found.boot, Access::Look)?;
        let files = BootFiles::new(partition)?.ok_or_else(none)?;
        let found = found.with_slots(files.slot_regions()?)?;
        refuse_odd_boot_files(&files, &found)?;
        let table = GoldenTable::read(&source.file, source.size, &found).with_context(reading)?;
        if table.end() > source.size {
            let found = format!("{name} is truncated: it ends before its last partition does");
            return Err(refused(found, "fetch it again, or create it again: flipslot create"));
        }
        let mut filesystems = BTreeMap::new();
        for part in table.parts.iter().filter(|part| part.region.number != found.boot.number) {
            if let Some(one) = filesystem(source, part)? {
                filesystems.insert(part.region.number, one);
            }
        }
        let mut first_mib = vec![0; usize::try_from(CHUNK)?];
        source.file.read_exact_at(&mut first_mib, 0).with_context(reading)?;
        let slots = found.slots.iter().map(|(slot, (region, _))| (*slot, *region)).collect();
        let volume = volume_id(source, found.boot)?;
        let mut golden = Golden { table, boot: found.boot, volume, slots, damaged: Vec::new(), filesystems, first_mib };
        golden.look_at_entries(&files)?;
        Ok(golden)
    }

    /// Returns the partition with this number.
    pub fn part(&self, number: u32) -> Option<&Part> {
        self.table.parts.iter().find(|part| part.region.number == number)
    }

    /// Notes damaged entries. Refuses an entry that boots a partition other than its own: it would do so on
    /// each copy, too.
    fn look_at_entries(&mut self, files: &BootFiles) -> Result<()> {
        for (slot, region) in &self.slots {
            match files.holding(*slot)? {
                Holding::Nothing | Holding::Half => {}
                Holding::Damaged => self.damaged.push(*slot),
                Holding::Whole(record) => {
                    let partuuid = self.part(region.number).context("a slot is not a partition")?.partuuid;
                    let root = format!("root=PARTUUID={partuuid}");
                    let root_file = format!("root=flipslot:PARTUUID={partuuid}/").to_ascii_lowercase();
                    let is_own = |word: &str| {
                        word.eq_ignore_ascii_case(&root) || word.to_ascii_lowercase().starts_with(&root_file)
                    };
                    if !record.entry().cmdline.words().any(is_own) {
                        return Err(refused(
                            format!(
                                "slot {slot} of the golden disk does not boot its own partition: its entry does \
                                 not contain {root}"
                            ),
                            format!("write it again: flipslot flash REFERENCE --slot {slot} --disk DISK"),
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Refuses boot files with which the copies would boot something else, or nothing: the entry of a slot that
/// the table does not have still names the golden disk, and an entry of the wrong size cannot be rewritten.
fn refuse_odd_boot_files(files: &BootFiles, table: &Table) -> Result<()> {
    if table.slots.is_empty() {
        let found =
            format!("the boot partition of the golden disk does not say which partitions are slots ({SLOT_REGIONS})");
        return Err(refused(found, "create the disk again: flipslot create"));
    }
    for slot in (0..).map_while(Slot::at) {
        let is_there = table.slots.contains_key(&slot);
        if !is_there && files.boots(slot)? && !is_gone(files, slot, table)? {
            return Err(refused(
                format!(
                    "the golden disk's boot partition has an entry for slot {slot}, but its table has no \
                     such slot: the copies would boot the golden disk"
                ),
                "restore the partition's name and type: sgdisk --change-name, --typecode",
            ));
        }
        if is_there && !files.has_room(slot)? {
            return Err(refused(
                format!("slot {slot} of the golden disk has missing or damaged files on the boot partition"),
                "create the disk again: flipslot create; or, if another program made that partition, rename it: \
                 sgdisk --change-name",
            ));
        }
    }
    Ok(())
}

/// Returns whether the partition that a slot's entry names is missing from the table: then GRUB finds no
/// kernel there, on the copies either.
fn is_gone(files: &BootFiles, slot: Slot, table: &Table) -> Result<bool> {
    let Holding::Whole(record) = files.holding(slot)? else { return Ok(false) };
    let mut numbers = table.shared.iter().map(|(region, ..)| region.number);
    Ok(!numbers.any(|number| number == record.grub.partition))
}

/// Reads which filesystem a partition holds; `None` if it is not a known one. Refuses one that cannot get a
/// new UUID.
fn filesystem(source: &Source, part: &Part) -> Result<Option<(Filesystem, Uuid)>> {
    let Some(features) = Features::of_file(&source.file, part.region.start)? else { return Ok(None) };
    let doing = || format!("partition {} ({}) of the golden disk", part.region.number, part.name);
    if part.region.start < CHUNK {
        let found = "it begins in the first MiB, which is written last";
        return Err(refused(found, "copy the disk with dd, and give each copy its own UUIDs by hand"))
            .with_context(doing);
    }
    tool::refuse_missing(features.of.renewal_programs()).with_context(doing)?;
    let device = Loop::attach(source.file.as_fd(), part.region, source.sector)?;
    if features.of.waits_for_replay(device.path()).with_context(doing)? {
        let found =
            format!("its {} has a log that must be replayed: its machine was not shut down cleanly", features.of);
        return Err(refused(found, "mount it once and unmount it, or shut its machine down")).with_context(doing);
    }
    Ok(Some((features.of, features.uuid)))
}

/// Reads the volume id from the boot sector of FAT32, BS_VolID at byte 67 (Microsoft, "FAT: General
/// Overview").
fn volume_id(source: &Source, boot: Region) -> Result<u32> {
    let mut sector = [0; 512];
    source.file.read_exact_at(&mut sector, boot.start).context("reading the boot partition of the golden disk")?;
    if &sector[82..90] != b"FAT32   " || boot.start < CHUNK {
        let found = "the boot partition of the golden disk is not one that flipslot makes (FAT32)";
        return Err(refused(found, "create the disk again: flipslot create"));
    }
    Ok(u32::from_le_bytes([sector[67], sector[68], sector[69], sector[70]]))
}
