//! What stands on the golden disk: its table, its filesystems, its boot partition. What could not be
//! made different on each copy is refused here, before anything is written.

use crate::clone::CHUNK;
use crate::clone::source::Source;
use crate::disk::boot_files::{BootFiles, Holding, PLACES};
use crate::disk::boot_partition::{Access, BootPartition};
use crate::disk::golden_table::{GoldenTable, Part};
use crate::disk::layout::Region;
use crate::disk::loops::Loop;
use crate::disk::table::{self, Table};
use crate::error::{Result, refused};
use crate::filesystem::features::Features;
use crate::filesystem::{Filesystem, identity};
use crate::slot::Slot;
use crate::tool;
use anyhow::Context;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use uuid::Uuid;

/// What is known of it.
pub struct Golden {
    /// Its table.
    pub table: GoldenTable,
    /// Its boot partition.
    pub boot: Region,
    /// The FAT volume id of that.
    pub volume: u32,
    /// Its slots.
    pub slots: BTreeMap<Slot, Region>,
    /// Those whose entry and record do not belong together.
    pub damaged: Vec<Slot>,
    /// Its filesystems, but for the boot partition's, by the numbers of their partitions.
    pub filesystems: BTreeMap<u32, (Filesystem, Uuid)>,
    /// Its first MiB.
    pub first_mib: Vec<u8>,
}

impl Golden {
    /// Looks at it.
    pub fn look(source: &Source) -> Result<Golden> {
        let name = source.path.display();
        let none = || {
            let found = format!("{name} has no flipslot table (GPT or MBR with a boot partition and slots)");
            refused(found, "name a disk that `flipslot create` made; copy any other one with bmaptool or dd")
        };
        let reading = || format!("reading the table of {name}");
        let found = table::read(&source.file, source.size, source.sector).with_context(reading)?.ok_or_else(none)?;
        let partition = BootPartition::open(&source.file, None, found.boot, Access::Look)?;
        let files = BootFiles::new(partition)?.ok_or_else(none)?;
        let found = found.with_slots(files.places()?)?;
        refuse_odd_boot_files(&files, &found)?;
        let table = GoldenTable::read(&source.file, source.size, &found).with_context(reading)?;
        if table.end() > source.size {
            let found = format!("{name} ends before its last partition does: it was cut short");
            return Err(refused(found, "fetch it again, or make it anew: flipslot create"));
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

    /// The partition of this number.
    pub fn part(&self, number: u32) -> Option<&Part> {
        self.table.parts.iter().find(|part| part.region.number == number)
    }

    /// Notes damaged entries. Refuses one that boots another partition than its own: it would do so on
    /// each copy, too.
    fn look_at_entries(&mut self, files: &BootFiles) -> Result<()> {
        for (slot, region) in &self.slots {
            match files.holding(*slot)? {
                Holding::Nothing | Holding::Half => {}
                Holding::Damaged => self.damaged.push(*slot),
                Holding::Image(record) => {
                    let partuuid = self.part(region.number).context("a slot is no partition")?.partuuid;
                    let root = format!("root=PARTUUID={partuuid}");
                    if !record.entry.cmdline.words().any(|word| word.eq_ignore_ascii_case(&root)) {
                        return Err(refused(
                            format!(
                                "slot {slot} of the golden disk does not boot its own partition: its entry does not say {root}"
                            ),
                            format!("write it anew: flipslot flash REFERENCE --slot {slot} --disk DISK"),
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Refuses what would boot something else on the copies, or nothing: the entry of a slot that the table does
/// not have still names the golden disk, and one that has not its size cannot be written.
fn refuse_odd_boot_files(files: &BootFiles, table: &Table) -> Result<()> {
    if table.slots.is_empty() {
        let found = format!("the boot partition of the golden disk does not say which partitions are slots ({PLACES})");
        return Err(refused(found, "make the disk anew: flipslot create"));
    }
    for slot in (0..).map_while(Slot::at) {
        let is_there = table.slots.contains_key(&slot);
        if !is_there && files.boots(slot)? && !is_gone(files, slot, table)? {
            return Err(refused(
                format!(
                    "the boot partition of the golden disk boots a slot {slot}, and its table has none: the copies would boot the golden disk"
                ),
                "give the partition its name and type back: sgdisk --change-name, --typecode",
            ));
        }
        if is_there && !files.has_room(slot)? {
            return Err(refused(
                format!("slot {slot} of the golden disk has no files on the boot partition, or damaged ones"),
                "make the disk anew: flipslot create; or, if another program made that partition, give it another name: sgdisk --change-name",
            ));
        }
    }
    Ok(())
}

/// Whether the partition that the entry of a slot names is in the table no more: then GRUB finds no kernel
/// there, on the copies either.
fn is_gone(files: &BootFiles, slot: Slot, table: &Table) -> Result<bool> {
    let Holding::Image(record) = files.holding(slot)? else { return Ok(false) };
    let mut numbers = table.shared.iter().map(|(region, ..)| region.number);
    Ok(!numbers.any(|number| number == record.entry.partition))
}

/// The filesystem in a partition, if there is one that is known here.
fn filesystem(source: &Source, part: &Part) -> Result<Option<(Filesystem, Uuid)>> {
    let Some(features) = Features::of_file(&source.file, part.region.start)? else { return Ok(None) };
    let doing = || format!("partition {} ({}) of the golden disk", part.region.number, part.name);
    if part.region.start < CHUNK {
        let found = "it begins in the first MiB, which is written last";
        return Err(refused(found, "copy the disk with dd, and give the copies names of their own by hand"))
            .with_context(doing);
    }
    tool::refuse_missing(identity::programs(features.of)).with_context(doing)?;
    let device = Loop::attach(source.file.as_fd(), part.region, source.sector)?;
    if identity::waits_for_replay(features.of, device.path()).with_context(doing)? {
        let found = format!("its {} has a log to be replayed: its machine was not shut down", features.of);
        return Err(refused(found, "mount it once, and unmount it; or shut its machine down")).with_context(doing);
    }
    Ok(Some((features.of, features.uuid)))
}

/// The volume id in the boot sector of FAT32, BS_VolID at byte 67 (Microsoft, "FAT: General Overview").
fn volume_id(source: &Source, boot: Region) -> Result<u32> {
    let mut sector = [0; 512];
    source.file.read_exact_at(&mut sector, boot.start).context("reading the boot partition of the golden disk")?;
    if &sector[82..90] != b"FAT32   " || boot.start < CHUNK {
        let found = "the boot partition of the golden disk is not as flipslot makes it (FAT32)";
        return Err(refused(found, "make the disk anew: flipslot create"));
    }
    Ok(u32::from_le_bytes([sector[67], sector[68], sector[69], sector[70]]))
}
