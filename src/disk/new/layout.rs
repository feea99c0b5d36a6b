//! The positions of all partitions on a disk: pure arithmetic, nothing is written here.

use crate::disk::table::gpt::LAST;
use crate::disk::table::mbr_sector::{END, GAP};
use crate::error::{Result, refused, usage};
use crate::words::region::{Region, TableKind};
use crate::words::slot::Slot;
use crate::words::units::{Bytes, MIB};
use std::collections::BTreeMap;

/// Room for GRUB's core image, which takes 218 kB of it; 1 MiB keeps the next partition aligned.
const CORE: u64 = MIB;
/// Size of the boot partition. FAT32 needs at least 65525 clusters (Microsoft, "FAT: General Overview"), 33
/// MiB of 512-byte clusters; kernels are in the slots, so it never holds more than 2 MiB.
const BOOT: u64 = 64 * MIB;
/// Like `BOOT`, but with clusters of 4096 bytes, which cannot be smaller than a sector: 257 MiB, and two FATs.
const BOOT_4096: u64 = 288 * MIB;
/// Minimum size of a slot: a kernel, its modules and an init hardly fit in less.
const SLOT_MIN: u64 = 64 * MIB;
/// Start of the first partition; a GPT before it takes 34 sectors (UEFI specification 2.10, 5.3).
const FIRST: u64 = MIB;
/// Number of primary partitions. An MBR has room for four; flipslot's fourth is the extended one, with all that follow.
const MBR_PRIMARY: u32 = 3;

/// The user's request for a disk.
#[derive(Debug, Clone)]
pub struct LayoutRequest {
    /// Size of the disk in bytes.
    pub size: Bytes,
    /// Size of a logical sector in bytes: 512 or 4096.
    pub sector: u64,
    /// Kind of partition table.
    pub table: TableKind,
    /// Number of slots on the disk.
    pub slots: u32,
    /// Sizes of slots; the one without a slot is for all others. What is left is divided evenly among those
    /// that have none.
    pub slot_sizes: BTreeMap<Option<Slot>, Bytes>,
    /// Use of the rest of the disk.
    pub data: Data,
}

/// Choice of a data partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// No data partition: the slots take all.
    None,
    /// A data partition in the rest of the disk, never touched by a flash.
    Rest,
}

/// The partitions of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Kind of partition table.
    pub table: TableKind,
    /// Size of a logical sector in bytes.
    pub sector: u64,
    /// Size of the disk in bytes.
    pub size: u64,
    /// Room of GRUB's core for BIOS machines: a partition of a GPT; in an MBR the gap before the first
    /// partition, which has the number 0.
    pub core: Region,
    /// The boot partition, which is the EFI system partition too.
    pub boot: Region,
    /// The slots, `a` first.
    pub slots: Vec<Region>,
    /// The data partition, if there is one.
    pub data: Option<Region>,
}

impl Layout {
    /// Divides a disk; every partition starts and ends at a whole MiB. Refuses a request that the disk cannot fulfil.
    pub fn compute(request: &LayoutRequest) -> Result<Layout> {
        request.refuse_odd()?;
        let boot = if request.sector == 512 { BOOT } else { BOOT_4096 };
        let mut next = Next { table: request.table, number: 1, start: FIRST };
        let core = match request.table {
            TableKind::Gpt => next.take(CORE),
            TableKind::Mbr => Region { number: 0, start: request.sector, size: FIRST - request.sector },
        };
        let boot = next.take(boot);
        let sizes = request.sizes(&next)?;
        let slots = sizes.iter().map(|size| next.take(*size)).collect();
        let end = request.end();
        let left = end.saturating_sub(next.start + next.gap());
        if request.data == Data::Rest && left < MIB {
            return Err(refused(
                "nothing is left for the data partition",
                "choose a larger --size or a smaller --slot-size",
            ));
        }
        let data = (request.data == Data::Rest).then(|| next.take(left));
        if request.table == TableKind::Mbr && next.start >= END {
            let found =
                format!("an MBR reaches only the first {}, and the partitions would end beyond that", Bytes(END));
            return Err(refused(
                found,
                "use a table without that limit: --table gpt; or leave space unused: smaller slots and no --data",
            ));
        }
        Ok(Layout { table: request.table, sector: request.sector, size: request.size.0, core, boot, slots, data })
    }

    /// Returns the region of a slot. Fails (usage) if the disk does not have it.
    pub fn slot(&self, slot: Slot) -> Result<Region> {
        self.slots.get(slot.index() as usize).copied().ok_or_else(|| {
            let count = count(u32::try_from(self.slots.len()).unwrap_or(0));
            usage(format!("slot {slot} is not on this disk, which has {count}"), "raise --slots")
        })
    }

    /// Lists the partitions in the order of their numbers.
    pub fn partitions(&self) -> impl Iterator<Item = Region> {
        let all = [self.core, self.boot].into_iter().chain(self.slots.iter().copied()).chain(self.data);
        all.filter(|region| region.number > 0)
    }
}

impl LayoutRequest {
    /// Refuses requests that no disk can fulfil.
    fn refuse_odd(&self) -> Result<()> {
        if self.slots == 0 || self.slots > Slot::MOST {
            let found = format!("a disk cannot have {} slots", self.slots);
            return Err(usage(found, "write --slots 1 to 26; two are usual"));
        }
        if let Some(slot) = self.slot_sizes.keys().flatten().find(|slot| slot.index() >= self.slots) {
            let found = format!("--slot-size is given for slot {slot}, but the disk has {}", count(self.slots));
            return Err(usage(found, "raise --slots"));
        }
        if self.data == Data::Rest && self.slots().any(|slot| self.size_of(slot).is_none()) {
            return Err(usage(
                "with --data the slots do not take the whole disk, so each needs a size",
                "give their size: --slot-size 3GiB",
            ));
        }
        if ![512, 4096].contains(&self.sector) {
            let found = format!("the disk has sectors of {} bytes", self.sector);
            return Err(refused(found, "name a disk with sectors of 512 or 4096 bytes"));
        }
        if self.table == TableKind::Mbr && self.sector != 512 {
            let found = "no BIOS boots from sectors of 4096 bytes, and UEFI reads a GPT";
            return Err(refused(found, "make a GPT: --table gpt"));
        }
        Ok(())
    }

    fn slots(&self) -> impl Iterator<Item = Slot> {
        (0..self.slots).filter_map(Slot::at)
    }

    /// Returns the requested size of a slot in bytes, rounded down to whole MiB; `None` if there is no request.
    fn size_of(&self, slot: Slot) -> Option<u64> {
        self.slot_sizes.get(&Some(slot)).or_else(|| self.slot_sizes.get(&None)).map(|size| size.0 / MIB * MIB)
    }

    /// Returns the largest possible end of the last partition in bytes.
    fn end(&self) -> u64 {
        (self.size.0 / MIB * MIB).saturating_sub(LAST)
    }

    /// Computes the size of each slot in bytes, in whole MiB.
    fn sizes(&self, first: &Next) -> Result<Vec<u64>> {
        let mut gaps = first.clone();
        let gap: u64 = self.slots().map(|_| gaps.take(0)).map(|region| region.start).last().unwrap_or(0) - first.start;
        let rest = self.end().saturating_sub(first.start + gap);
        let asked: Vec<Option<u64>> = self.slots().map(|slot| self.size_of(slot)).collect();
        let fixed = asked.iter().flatten().fold(0, |all: u64, size| all.saturating_add(*size));
        let open = asked.iter().filter(|size| size.is_none()).count() as u64;
        let even = rest.saturating_sub(fixed).checked_div(open).unwrap_or(0) / MIB * MIB;
        let sizes: Vec<u64> = asked.iter().map(|size| size.unwrap_or(even)).collect();
        if fixed <= rest && sizes.iter().all(|size| *size >= SLOT_MIN) {
            return Ok(sizes);
        }
        let needed = sizes.iter().fold(0, |all: u64, size| all.saturating_add((*size).max(SLOT_MIN)));
        let smallest = sizes.iter().min().copied().unwrap_or(0).max(SLOT_MIN);
        let found = format!(
            "a disk of {} is too small for {} of {}{} (with boot partitions and table: {})",
            self.size,
            count(self.slots),
            if asked.iter().all(|size| *size == asked[0]) { "" } else { "at least " },
            Bytes(smallest),
            Bytes(needed.saturating_add(first.start + gap + LAST))
        );
        Err(refused(found, "choose a larger --size, a smaller --slot-size (at least 64MiB), or fewer --slots"))
    }
}

/// Start and number of the next partition.
#[derive(Debug, Clone)]
struct Next {
    table: TableKind,
    number: u32,
    start: u64,
}

impl Next {
    fn is_logical(&self) -> bool {
        self.table == TableKind::Mbr && self.number > MBR_PRIMARY
    }

    /// Returns the number of bytes before the partition that are reserved for its description.
    fn gap(&self) -> u64 {
        if self.is_logical() { GAP } else { 0 }
    }

    fn take(&mut self, size: u64) -> Region {
        if self.is_logical() {
            self.number = self.number.max(MBR_PRIMARY + 2); // past the extended one
        }
        let start = self.start + self.gap();
        let region = Region { number: self.number, start, size };
        (self.number, self.start) = (self.number + 1, start + size);
        region
    }
}

fn count(slots: u32) -> String {
    if slots == 1 { "1 slot".to_owned() } else { format!("{slots} slots") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(size: u64, slots: u32) -> LayoutRequest {
        let (table, slot_sizes) = (TableKind::Gpt, BTreeMap::new());
        LayoutRequest { size: Bytes(size), sector: 512, table, slots, slot_sizes, data: Data::None }
    }

    #[test]
    fn partitions_are_aligned_and_do_not_overlap() {
        for (size, slots) in [(8 << 30, 2), ((1 << 30) + 12345, 3), (512 * MIB, 1), (3 << 40, 26)] {
            for (table, sector) in [(TableKind::Gpt, 512), (TableKind::Gpt, 4096), (TableKind::Mbr, 512)] {
                if table == TableKind::Mbr && size > END {
                    continue;
                }
                let layout = Layout::compute(&LayoutRequest { table, sector, ..request(size, slots) }).unwrap();
                let all: Vec<Region> = layout.partitions().collect();
                assert!(all.iter().all(|region| region.start % MIB == 0 && region.size % MIB == 0 && region.size > 0));
                for pair in all.windows(2) {
                    let between = pair[1].start - (pair[0].start + pair[0].size);
                    let is_logical = table == TableKind::Mbr && pair[1].number > 4;
                    assert_eq!(between, if is_logical { MIB } else { 0 });
                    assert_eq!(pair[1].number - pair[0].number, if pair[1].number == 5 && is_logical { 2 } else { 1 });
                }
                let last = all.last().unwrap();
                assert!(last.start + last.size <= size - 33 * 512, "the backup table has room");
            }
        }
    }

    #[test]
    fn data_takes_what_the_slots_leave() {
        let slot_sizes = BTreeMap::from([(None, Bytes(1 << 30))]);
        let asked = LayoutRequest { slot_sizes, data: Data::Rest, ..request(8 << 30, 2) };
        let layout = Layout::compute(&asked).unwrap();
        let data = layout.data.unwrap();
        assert_eq!(data.number, 5);
        assert_eq!(data.start + data.size, (8 << 30) - LAST);
        assert!(Layout::compute(&LayoutRequest { slot_sizes: BTreeMap::new(), ..asked }).is_err());
    }

    #[test]
    fn slots_have_the_sizes_that_were_asked_and_the_others_what_is_left() {
        let b = "b".parse().unwrap();
        let slot_sizes = BTreeMap::from([(Some(b), Bytes(5 << 30))]);
        let layout = Layout::compute(&LayoutRequest { slot_sizes, ..request(8 << 30, 3) }).unwrap();
        let sizes: Vec<u64> = layout.slots.iter().map(|region| region.size).collect();
        assert_eq!(sizes[1], 5 << 30);
        assert_eq!(sizes[0], sizes[2]);
        assert!(sizes[0] > 1400 * MIB, "{sizes:?}");
        let slot_sizes = BTreeMap::from([(Some("d".parse().unwrap()), Bytes(1 << 30))]);
        assert!(Layout::compute(&LayoutRequest { slot_sizes, ..request(8 << 30, 3) }).is_err(), "there is no slot d");
    }

    #[test]
    fn a_disk_too_small_says_what_it_would_need() {
        let text = format!("{:#}", Layout::compute(&request(100 * MIB, 2)).unwrap_err());
        assert!(text.contains("195MiB"), "{text}");
        assert!(Layout::compute(&request(0, 2)).is_err());
        let slot_sizes = BTreeMap::from([(None, Bytes(u64::MAX))]);
        assert!(Layout::compute(&LayoutRequest { slot_sizes, ..request(8 << 30, 2) }).is_err());
    }
}
