//! Where everything lies on a disk: pure arithmetic, nothing is written here.

use crate::error::{Result, refused, usage};
use crate::slot::Slot;
use crate::units::{Bytes, MIB};

/// GRUB's core: 218 kB of it; 1 MiB keeps the next partition aligned.
const BIOS_BOOT: u64 = MIB;
/// The boot partition. FAT32 needs at least 65525 clusters (Microsoft, "FAT: General Overview"),
/// 33 MiB of 512-byte clusters; kernels lie in the slots, so it never holds more than 2 MiB.
const BOOT: u64 = 64 * MIB;
/// The smallest slot: a kernel, its modules and an init hardly fit in less.
const SLOT_MIN: u64 = 64 * MIB;
/// The first partition; the table before it takes 34 sectors (UEFI specification 2.10, 5.3).
const FIRST: u64 = MIB;
/// The backup table at the end takes 33 sectors; a whole MiB keeps the last partition aligned.
const LAST: u64 = MIB;

/// What the user asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Size of the disk in bytes.
    pub size: Bytes,
    /// Number of slots.
    pub slots: u32,
    /// Size of each slot; `None` divides the disk evenly.
    pub slot_size: Option<Bytes>,
    /// Whether the rest of the disk becomes a data partition.
    pub data: Data,
}

/// Whether there is a data partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// None: the slots take all.
    None,
    /// The rest of the disk, never touched by a flash.
    Rest,
}

/// A run of bytes on a disk, with its number in the partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Partition number, from 1.
    pub number: u32,
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
}

/// The partitions of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Size of the disk in bytes.
    pub size: u64,
    /// Holds GRUB's core for BIOS machines.
    pub bios_boot: Region,
    /// The boot partition, which is the EFI system partition too.
    pub boot: Region,
    /// The slots, `a` first.
    pub slots: Vec<Region>,
    /// The data partition.
    pub data: Option<Region>,
}

impl Layout {
    /// Divides a disk; every partition starts and ends at a whole MiB.
    pub fn plan(wish: &Wish) -> Result<Layout> {
        if wish.slots == 0 || wish.slots > Slot::MOST {
            return Err(usage(
                format!("a disk cannot have {} slots", wish.slots),
                "write --slots 1 to 26; two are usual",
            ));
        }
        if wish.data == Data::Rest && wish.slot_size.is_none() {
            return Err(usage(
                "with --data the slots do not take the whole disk",
                "say how large they shall be: --slot-size 3GiB",
            ));
        }
        let start = FIRST + BIOS_BOOT + BOOT;
        let slots = u64::from(wish.slots);
        let rest = (wish.size.0 / MIB * MIB).saturating_sub(start + LAST);
        let even = rest / slots / MIB * MIB;
        let slot_size = wish.slot_size.map_or(even, |size| size.0 / MIB * MIB);
        let used =
            slot_size.checked_mul(slots).filter(|used| *used <= rest && slot_size >= SLOT_MIN).ok_or_else(|| {
                let needed = slots.saturating_mul(slot_size.max(SLOT_MIN)).saturating_add(start + LAST);
                let found = format!(
                    "a disk of {} is too small for {} of {} (with boot partitions and table: {})",
                    wish.size,
                    count(wish.slots),
                    Bytes(slot_size.max(SLOT_MIN)),
                    Bytes(needed)
                );
                refused(found, "choose a larger --size, a smaller --slot-size (at least 64MiB), or fewer --slots")
            })?;
        let data_size = rest - used;
        if wish.data == Data::Rest && data_size < MIB {
            return Err(refused(
                "nothing is left for the data partition",
                "choose a larger --size or a smaller --slot-size",
            ));
        }
        let region = |number, start, size| Region { number, start, size };
        Ok(Layout {
            size: wish.size.0,
            bios_boot: region(1, FIRST, BIOS_BOOT),
            boot: region(2, FIRST + BIOS_BOOT, BOOT),
            slots: (0..wish.slots).map(|i| region(3 + i, start + u64::from(i) * slot_size, slot_size)).collect(),
            data: (wish.data == Data::Rest).then(|| region(3 + wish.slots, start + used, data_size)),
        })
    }

    /// The region of a slot, if the disk has it.
    pub fn slot(&self, slot: Slot) -> Result<Region> {
        self.slots.get(slot.index() as usize).copied().ok_or_else(|| {
            usage(
                format!(
                    "slot {slot} is not on this disk, which has {}",
                    count(u32::try_from(self.slots.len()).unwrap_or(0))
                ),
                "raise --slots",
            )
        })
    }
}

fn count(slots: u32) -> String {
    if slots == 1 { "1 slot".to_owned() } else { format!("{slots} slots") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(size: u64, slots: u32) -> Wish {
        Wish { size: Bytes(size), slots, slot_size: None, data: Data::None }
    }

    #[test]
    fn partitions_are_aligned_and_do_not_overlap() {
        for (size, slots) in [(8 << 30, 2), ((1 << 30) + 12345, 3), (512 * MIB, 1), (3 << 40, 26)] {
            let layout = Layout::plan(&wish(size, slots)).unwrap();
            let mut all = vec![layout.bios_boot, layout.boot];
            all.extend(&layout.slots);
            for (number, region) in (1..).zip(&all) {
                assert_eq!(region.number, number);
                assert!(region.start % MIB == 0 && region.size % MIB == 0 && region.size > 0);
            }
            assert!(all.windows(2).all(|pair| pair[0].start + pair[0].size == pair[1].start));
            let last = all.last().unwrap();
            assert!(last.start + last.size <= size - 33 * 512, "the backup table has room");
        }
    }

    #[test]
    fn data_takes_what_the_slots_leave() {
        let asked = Wish { slot_size: Some(Bytes(1 << 30)), data: Data::Rest, ..wish(8 << 30, 2) };
        let layout = Layout::plan(&asked).unwrap();
        let data = layout.data.unwrap();
        assert_eq!(data.number, 5);
        assert_eq!(data.start + data.size, (8 << 30) - LAST);
        assert!(Layout::plan(&Wish { slot_size: None, ..asked }).is_err());
    }

    #[test]
    fn a_disk_too_small_says_what_it_would_need() {
        let text = format!("{:#}", Layout::plan(&wish(100 * MIB, 2)).unwrap_err());
        assert!(text.contains("195MiB"), "{text}");
        assert!(Layout::plan(&wish(0, 2)).is_err());
        let huge = Wish { slot_size: Some(Bytes(u64::MAX)), ..wish(8 << 30, 2) };
        assert!(Layout::plan(&huge).is_err());
    }
}
