//! What a slot's disk is called: the names by which fstab(5) and the kernel's command line find its
//! partitions.

use crate::slot::Slot;

/// The names of a disk's partitions as fstab spells them, such as `UUID=...`, `PARTLABEL=...`.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Those of the slot itself, and of what all slots share: boot partition, data.
    own: Vec<String>,
    /// Those of the other slots.
    others: Vec<(Slot, String)>,
}

/// What a name in fstab stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// For what this disk has, and no other slot is.
    Here,
    /// For another slot.
    OtherSlot(Slot),
    /// For nothing on this disk.
    Nowhere,
}

impl Surroundings {
    /// Adds a name of the slot itself, or of what all slots share.
    pub fn add(&mut self, key: &str, value: &str) {
        self.own.push(spelled(key, value));
    }

    /// Adds a name of another slot.
    pub fn add_other(&mut self, slot: Slot, key: &str, value: &str) {
        self.others.push((slot, spelled(key, value)));
    }

    /// What `name` stands for; quotes around its value are read as blkid(8) writes them.
    pub fn stands(&self, name: &str) -> Stands {
        let Some((key, value)) = by_link(name).or_else(|| name.split_once('=')) else { return Stands::Nowhere };
        let name = spelled(key, value.trim_matches('"'));
        if let Some((slot, _)) = self.others.iter().find(|(_, other)| *other == name) {
            return Stands::OtherSlot(*slot);
        }
        if self.own.contains(&name) { Stands::Here } else { Stands::Nowhere }
    }
}

/// `/dev/disk/by-uuid/X` is `UUID=X`.
fn by_link(name: &str) -> Option<(&'static str, &str)> {
    let (folder, value) = name.strip_prefix("/dev/disk/by-")?.split_once('/')?;
    let keys = [("uuid", "UUID"), ("partuuid", "PARTUUID"), ("label", "LABEL"), ("partlabel", "PARTLABEL")];
    keys.iter().find(|(known, _)| *known == folder).map(|(_, key)| (*key, value))
}

/// Labels are read as they stand, the rest in any case (libblkid).
fn spelled(key: &str, value: &str) -> String {
    let value = if key.ends_with("LABEL") { value.to_owned() } else { value.to_ascii_lowercase() };
    format!("{key}={value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_this_slot_or_another_or_nothing() {
        let mut disk = Surroundings::default();
        disk.add("UUID", "0A1B");
        disk.add("LABEL", "FLIPSLOT");
        let b: Slot = "b".parse().unwrap();
        disk.add_other(b, "PARTUUID", "ff-ee");
        for (name, stands) in [
            ("UUID=0a1b", Stands::Here),
            ("UUID=\"0a1b\"", Stands::Here),
            ("/dev/disk/by-uuid/0a1b", Stands::Here),
            ("LABEL=FLIPSLOT", Stands::Here),
            ("LABEL=flipslot", Stands::Nowhere),
            ("PARTUUID=FF-EE", Stands::OtherSlot(b)),
            ("/dev/sda1", Stands::Nowhere),
        ] {
            assert_eq!(disk.stands(name), stands, "{name}");
        }
    }
}
