//! The names by which a slot's fstab can find the partitions of its disk.

use crate::check::surroundings::Surroundings;
use crate::disk::gpt::Guids;
use crate::disk::installed::Disk;
use crate::disk::layout::{Layout, Region};
use crate::error::Result;
use crate::slot::Slot;
use crate::tool::Tool;
use uuid::Uuid;

/// What the boot partition's filesystem is called.
pub const BOOT_LABEL: &str = "FLIPSLOT";

impl Layout {
    /// What slot `me` sees of a disk that is made so.
    pub fn surroundings(&self, guids: &Guids, me: Slot) -> Surroundings {
        let mut names = Surroundings::of(me);
        for (slot, region) in (0..).map_while(Slot::at).zip(&self.slots) {
            add_slot(&mut names, slot, guids.of(*region));
        }
        add_shared(&mut names, "boot", guids.of(self.boot));
        names.add(None, "LABEL", BOOT_LABEL);
        if let Some(data) = self.data {
            add_shared(&mut names, "data", guids.of(data));
        }
        names
    }
}

impl Disk {
    /// What slot `me` sees of this disk.
    pub fn surroundings(&self, me: Slot) -> Result<Surroundings> {
        let mut names = Surroundings::of(me);
        for (slot, (_, guid)) in &self.table.slots {
            add_slot(&mut names, *slot, *guid);
            if let Some(record) = self.files.holding(*slot)?.record() {
                names.add(Some(*slot), "UUID", &record.filesystem_uuid);
            }
        }
        for (region, name, guid) in &self.table.shared {
            add_shared(&mut names, name, *guid);
            for (key, value) in self.filesystem_names(*region) {
                names.add(None, &key, &value);
            }
        }
        Ok(names)
    }

    /// UUID and label of the filesystem in a partition, where it has them (blkid(8), low-level probing).
    /// Nothing is found where nothing is, and where there is no blkid.
    fn filesystem_names(&self, region: Region) -> Vec<(String, String)> {
        let probe = Tool::new("blkid")
            .args(["--probe", "--output=export", "--match-tag=UUID", "--match-tag=LABEL"])
            .arg(format!("--offset={}", region.start))
            .arg(format!("--size={}", region.size))
            .arg(&self.path)
            .run();
        let printed = probe.map(|probe| probe.stdout).unwrap_or_default();
        let pairs = printed.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

fn add_slot(names: &mut Surroundings, slot: Slot, guid: Uuid) {
    names.add(Some(slot), "PARTUUID", &guid.to_string());
    names.add(Some(slot), "PARTLABEL", &format!("slot-{slot}"));
    names.add(Some(slot), "LABEL", &format!("slot-{slot}"));
}

fn add_shared(names: &mut Surroundings, name: &str, guid: Uuid) {
    names.add(None, "PARTUUID", &guid.to_string());
    names.add(None, "PARTLABEL", name);
}
