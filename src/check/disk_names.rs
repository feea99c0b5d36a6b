//! The names by which a slot's fstab can find the partitions of its disk.

use crate::check::partition_names::{BOOT_LABEL, PartitionNames};
use crate::disk::installed::open::Disk;
use crate::disk::installed::running::Node;
use crate::disk::new::layout::Layout;
use crate::disk::table::ids::Ids;
use crate::disk::which::devices;
use crate::error::Result;
use crate::tool::Tool;
use crate::words::partuuid::PartUuid;
use crate::words::region::Region;
use crate::words::slot::Slot;
use std::time::Duration;

/// Time limit for reading the beginning of a partition.
const PROBE: Duration = Duration::from_secs(10);

impl Layout {
    /// Lists the names that slot `me` sees on a disk with this layout and these identifiers.
    pub fn partition_names(&self, ids: &Ids, me: Slot) -> PartitionNames {
        let mut names = PartitionNames::of(me);
        for (slot, region) in (0..).map_while(Slot::at).zip(&self.slots) {
            add_slot(&mut names, slot, ids.of(*region));
        }
        add_shared(&mut names, "boot", ids.of(self.boot));
        names.add(None, "LABEL", BOOT_LABEL);
        if let Some(data) = self.data {
            add_shared(&mut names, "data", ids.of(data));
        }
        names
    }
}

impl Disk {
    /// Lists the names that slot `me` sees on this disk; and on this machine, if it runs from the disk.
    pub fn partition_names(&self, me: Slot) -> Result<PartitionNames> {
        let mut names = PartitionNames::of(me);
        for (slot, (_, partuuid)) in &self.table.slots {
            add_slot(&mut names, *slot, *partuuid);
            if let Some(record) = self.files.holding(*slot)?.record() {
                names.add(Some(*slot), "UUID", &record.filesystem_uuid);
            }
        }
        for (region, name, partuuid) in &self.table.shared {
            add_shared(&mut names, name, *partuuid);
            for (key, value) in self.filesystem_names(*region) {
                names.add(None, &key, &value);
            }
        }
        if self.running.is_some() {
            self.add_devices(&mut names);
        }
        Ok(names)
    }

    /// Adds the names of this machine's devices. The filesystem of a slot may be made again, so its own names
    /// are taken from the record instead.
    fn add_devices(&self, names: &mut PartitionNames) {
        let numbers = self.numbers.as_deref().unwrap_or_default();
        let of_slot =
            |(slot, (region, _)): (&Slot, &(Region, PartUuid))| Some((Node::find(numbers, region.number)?, *slot));
        let slots: Vec<(Node, Slot)> = self.table.slots.iter().filter_map(of_slot).collect();
        for (path, device) in devices::names() {
            let slot = slots.iter().find(|(node, _)| node.numbers == device).map(|(_, slot)| *slot);
            let of_filesystem = ["/dev/disk/by-uuid/", "/dev/disk/by-label/"].iter().any(|by| path.starts_with(by));
            if slot.is_none() || !of_filesystem {
                names.add_path(slot, &path);
            }
        }
    }

    /// Reads UUID and label of the filesystem in a partition, where it has them (blkid(8), low-level
    /// probing). Empty if nothing is there, and if there is no blkid.
    fn filesystem_names(&self, region: Region) -> Vec<(String, String)> {
        let probe = Tool::new("blkid")
            .args(["--probe", "--output=export", "--match-tag=UUID", "--match-tag=LABEL"])
            .arg(format!("--offset={}", region.start))
            .arg(format!("--size={}", region.size))
            .arg(&self.path)
            .deadline(PROBE)
            .run();
        let printed = probe.map(|probe| probe.stdout).unwrap_or_default();
        let pairs = printed.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

fn add_slot(names: &mut PartitionNames, slot: Slot, partuuid: PartUuid) {
    names.add(Some(slot), "PARTUUID", &partuuid.to_string());
    names.add(Some(slot), "PARTLABEL", &format!("slot-{slot}"));
    names.add(Some(slot), "LABEL", &format!("slot-{slot}"));
}

fn add_shared(names: &mut PartitionNames, name: &str, partuuid: PartUuid) {
    names.add(None, "PARTUUID", &partuuid.to_string());
    names.add(None, "PARTLABEL", name);
}
