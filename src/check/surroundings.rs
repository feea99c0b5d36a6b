//! What a slot's disk is called: the names by which fstab(5) and the kernel's command line find its
//! partitions.

use crate::slot::Slot;

/// The names of a disk's partitions as fstab spells them, such as `UUID=...`, `PARTLABEL=...`, and
/// the slot that looks at them.
#[derive(Debug, Clone)]
pub struct Surroundings {
    me: Slot,
    /// Whose they are; those of nobody are of what all slots share: boot partition, data.
    names: Vec<(Option<Slot>, String)>,
}

/// What a name in fstab stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// For the slot itself, or for what all slots share.
    Here,
    /// For another slot.
    OtherSlot(Slot),
    /// For nothing on this disk.
    Nowhere,
}

impl Surroundings {
    /// Those of a slot whose disk has nothing yet.
    pub fn of(me: Slot) -> Surroundings {
        Surroundings { me, names: Vec::new() }
    }

    /// Adds a name of a slot, or of what all share.
    pub fn add(&mut self, whose: Option<Slot>, key: &str, value: &str) {
        self.names.push((whose, spelled(key, value)));
    }

    /// What `name` stands for; quotes around its value are read as blkid(8) writes them.
    pub fn stands(&self, name: &str) -> Stands {
        let Some((key, value)) = by_link(name).or_else(|| name.split_once('=')) else { return Stands::Nowhere };
        let name = spelled(key, value.trim_matches('"'));
        match self.names.iter().find(|(_, known)| *known == name) {
            None => Stands::Nowhere,
            Some((Some(slot), _)) if *slot != self.me => Stands::OtherSlot(*slot),
            Some(_) => Stands::Here,
        }
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
        let [a, b]: [Slot; 2] = ["a", "b"].map(|slot| slot.parse().unwrap());
        let mut disk = Surroundings::of(a);
        disk.add(Some(a), "UUID", "0A1B");
        disk.add(None, "LABEL", "FLIPSLOT");
        disk.add(Some(b), "PARTUUID", "ff-ee");
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
