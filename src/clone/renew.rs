//! Makes a copy a disk of its own: new GUIDs and UUIDs, in the table, in the filesystems and in all that
//! boots by them.

use crate::boot::record::Record;
use crate::clone::golden::Golden;
use crate::clone::names::Names;
use crate::disk::installed::boot_files::{BootFiles, Holding};
use crate::disk::installed::boot_partition::{Access, BootPartition};
use crate::disk::new::target::Target;
use crate::disk::table::ids::Ids;
use crate::error::{Result, failed};
use crate::filesystem::features::Features;
use crate::filesystem::kind::Filesystem;
use crate::filesystem::properties::{GrowCommand, Growth};
use crate::mount::scratch::Scratch;
use crate::words::region::Region;
use anyhow::Context;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use uuid::Uuid;

/// The new identifiers of one copy.
pub struct Identity {
    /// Identifiers in the partition table.
    pub ids: Ids,
    /// New UUID of each filesystem, by partition number.
    filesystems: BTreeMap<u32, Uuid>,
    /// FAT volume id of the boot partition.
    volume: u32,
    /// Old identifiers, and what replaces each.
    names: Names,
}

impl Identity {
    /// Draws fresh random identifiers for a copy of `golden`.
    pub fn fresh(golden: &Golden) -> Identity {
        let ids = golden.table.fresh_ids();
        let filesystems: BTreeMap<u32, Uuid> =
            golden.filesystems.keys().map(|number| (*number, Uuid::new_v4())).collect();
        let volume = Uuid::new_v4().as_fields().0;
        let mut names = Names::default();
        if let Some(guid) = golden.table.disk_guid() {
            names.add(guid.to_string(), ids.of_disk());
        }
        for part in &golden.table.parts {
            names.add(part.partuuid.to_string(), ids.of(part.region).to_string());
        }
        for (number, (_, uuid)) in &golden.filesystems {
            names.add(uuid.to_string(), filesystems[number].to_string());
        }
        names.add_volume(golden.volume, volume);
        Identity { ids, filesystems, volume, names }
    }

    /// Writes the identifiers to `target`, which has no table yet, and lets `data` take the room of a larger
    /// disk. Returns what is left to do by hand.
    pub fn give(&self, golden: &Golden, target: &Target, scratch: &Scratch) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for (number, (found, _)) in &golden.filesystems {
            let part = golden.part(*number).context("a filesystem is not in any partition")?;
            let doing = || format!("partition {number} ({})", part.name);
            let region = golden.table.on_copy(part, target.size());
            let is_larger = region != part.region;
            self.renew(*found, region, target).with_context(doing)?;
            if is_larger {
                left.extend(self.grow(*found, region, target, scratch).with_context(doing)?);
            }
            found.check(target.attach(region)?.path()).with_context(doing)?;
        }
        self.give_boot_partition(golden, target).context("the boot partition")?;
        target.flush()?;
        Ok(left)
    }

    /// Grows a filesystem to the size of its partition. Returns what is left to do by hand where it can only grow
    /// while mounted: this machine's kernel may not know it, and the copy is complete without the growth.
    fn grow(&self, found: Filesystem, region: Region, target: &Target, scratch: &Scratch) -> Result<Option<String>> {
        let mounted = |grow: &GrowCommand| {
            let device = target.attach(region)?;
            let place = scratch.directory(&self.filesystems[&region.number].to_string())?;
            let mount = found.mount_to_write(device.path(), &place)?;
            grow.run_at(mount.mount_point())?;
            mount.close()
        };
        match found.growth() {
            Growth::Unmounted(grow) => grow(target.attach(region)?.path()).map(|()| None),
            Growth::Mounted(grow) => Ok(mounted(grow).err().map(|error| {
                format!(
                    "the data partition is larger than its filesystem; grow it where it is mounted: {grow} ({error:#})"
                )
            })),
        }
    }

    fn renew(&self, found: Filesystem, region: Region, target: &Target) -> Result<()> {
        let uuid = self.filesystems[&region.number];
        found.renew_uuid(target.attach(region)?.path(), uuid)?;
        let now = Features::of_file(target.file(), region.start)?.map(|features| features.uuid);
        if now != Some(uuid) {
            return Err(failed("the filesystem did not accept its new UUID", "run the command again"));
        }
        Ok(())
    }

    /// Writes the volume id, and the renewed records and entries of the slots.
    fn give_boot_partition(&self, golden: &Golden, target: &Target) -> Result<()> {
        self.give_volume_id(golden.boot, target)?;
        let partition = BootPartition::open(target.file(), None, golden.boot, Access::Change)?;
        let files = BootFiles::new(partition)?.context("the state block was not copied")?;
        for slot in golden.slots.keys() {
            match files.holding(*slot)? {
                Holding::Whole(_) => files.republish(*slot, |record| self.renewed(record, golden.slots[slot]))?,
                // Its entry may still name the golden disk, and boot that.
                Holding::Damaged => files.withdraw(*slot)?,
                Holding::Nothing | Holding::Half => {}
            }
        }
        Ok(())
    }

    fn renewed(&self, mut record: Record, region: Region) -> Record {
        record.grub.entry.cmdline = record.entry().cmdline.renewed(|word| self.names.renewed(word));
        record.fixed = record.fixed.with_words(|word| self.names.renewed(word));
        if let Some(uuid) = self.filesystems.get(&region.number) {
            record.filesystem_uuid = uuid.to_string();
        }
        record
    }

    /// Writes the volume id into the boot sector of FAT32 and into its copy (Microsoft, "FAT: General
    /// Overview": BS_VolID at byte 67, BPB_BytsPerSec at 11, BPB_BkBootSec at 50).
    fn give_volume_id(&self, boot: Region, target: &Target) -> Result<()> {
        let mut sector = [0; 512];
        target.file().read_exact_at(&mut sector, boot.start)?;
        let number = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        let (length, copy) = (number(11), number(50));
        let bytes = self.volume.to_le_bytes();
        // 0 or 0xffff: there is no copy.
        let copies = [0].into_iter().chain((1..32).contains(&copy).then_some(copy));
        for number in copies {
            let at = boot.start + number * length;
            target.write_at(at, &with_volume_id(target, at, bytes)?)?;
        }
        Ok(())
    }

    /// Returns whether `text` names the golden disk by an identifier that a copy does not have.
    pub fn stand_in(&self, text: &str) -> bool {
        self.names.stand_in(text)
    }
}

fn with_volume_id(target: &Target, at: u64, id: [u8; 4]) -> Result<[u8; 512]> {
    let mut sector = [0; 512];
    target.file().read_exact_at(&mut sector, at)?;
    sector[67..71].copy_from_slice(&id);
    Ok(sector)
}
