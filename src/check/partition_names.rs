//! Names by which fstab(5) and the kernel's command line find the partitions of a slot's disk.

use crate::words::slot::Slot;

/// Label of the boot partition's filesystem.
pub const BOOT_LABEL: &str = "FLIPSLOT";

/// Names of a disk's partitions as fstab spells them, such as `UUID=...` and `PARTLABEL=...`, and the slot
/// whose fstab it is.
#[derive(Debug, Clone)]
pub struct PartitionNames {
    me: Option<Slot>,
    /// Names with the slot of their partition; `None` for partitions that all slots share: boot and data.
    names: Vec<(Option<Slot>, String)>,
}

/// Meaning of a name in fstab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// The slot itself, or a partition that all slots share.
    Here,
    /// A partition of another slot.
    OtherSlot(Slot),
    /// Nothing on this disk.
    Nowhere,
}

impl PartitionNames {
    /// Creates an empty set of names for a slot.
    pub fn of(me: Slot) -> PartitionNames {
        PartitionNames { me: Some(me), names: Vec::new() }
    }

    /// Returns the names that every disk has that flipslot makes, for any slot.
    pub fn of_any_disk() -> PartitionNames {
        let names = [("LABEL", BOOT_LABEL), ("PARTLABEL", "boot"), ("PARTLABEL", "data")];
        PartitionNames { me: None, names: names.map(|(key, value)| (None, spelled(key, value))).to_vec() }
    }

    /// Adds a name of a slot's partition, or, with `None`, of one that all slots share.
    pub fn add(&mut self, whose: Option<Slot>, key: &str, value: &str) {
        self.names.push((whose, spelled(key, value)));
    }

    /// Like [`PartitionNames::add`], but adds a path in `/dev`.
    pub fn add_path(&mut self, whose: Option<Slot>, path: &str) {
        self.names.push((whose, canonical(path)));
    }

    /// Looks up what `name` means; quotes around its value are accepted, as blkid(8) writes them.
    pub fn stands(&self, name: &str) -> Stands {
        let name = canonical(name);
        match self.names.iter().find(|(_, known)| *known == name) {
            None => Stands::Nowhere,
            Some((Some(slot), _)) if Some(*slot) != self.me => Stands::OtherSlot(*slot),
            Some(_) => Stands::Here,
        }
    }
}

/// Converts a name to the spelling in which names are compared.
fn canonical(name: &str) -> String {
    if let Some((key, value)) = by_link(name) {
        return spelled(key, &unescaped(value, "\\x", 16));
    }
    match name.split_once('=').filter(|_| !name.starts_with('/')) {
        Some((key, value)) => spelled(key, value.trim_matches('"')),
        None => name.to_owned(),
    }
}

/// Splits a link into key and value: `/dev/disk/by-uuid/X` is `UUID=X`.
fn by_link(name: &str) -> Option<(&'static str, &str)> {
    let (folder, value) = name.strip_prefix("/dev/disk/by-")?.split_once('/')?;
    let keys = [("uuid", "UUID"), ("partuuid", "PARTUUID"), ("label", "LABEL"), ("partlabel", "PARTLABEL")];
    keys.iter().find(|(known, _)| *known == folder).map(|(_, key)| (*key, value))
}

/// Decodes a text in which special bytes are written as numbers: in base 16 after `\x` in links that udev
/// makes, in base 8 after `\` in fstab(5).
pub fn unescaped(text: &str, mark: &str, base: u32) -> String {
    let digits = if base == 8 { 3 } else { 2 };
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(mark) {
        bytes.extend(before.as_bytes());
        let number = after.get(..digits).and_then(|number| u8::from_str_radix(number, base).ok());
        match number {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(mark.as_bytes()),
        }
        rest = after.get(number.map_or(0, |_| digits)..).unwrap_or_default();
    }
    bytes.extend(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Joins a key and a value. Case matters in labels, but not in other values (libblkid).
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
        let mut disk = PartitionNames::of(a);
        disk.add(Some(a), "UUID", "0A1B");
        disk.add(None, "LABEL", "FLIPSLOT");
        disk.add(Some(b), "PARTUUID", "ff-ee");
        disk.add(None, "LABEL", "my disk");
        disk.add_path(None, "/dev/mapper/vg=1");
        disk.add_path(Some(b), "/dev/sdb3");
        for (name, stands) in [
            ("UUID=0a1b", Stands::Here),
            ("UUID=\"0a1b\"", Stands::Here),
            ("/dev/disk/by-uuid/0a1b", Stands::Here),
            ("LABEL=FLIPSLOT", Stands::Here),
            ("LABEL=flipslot", Stands::Nowhere),
            ("PARTUUID=FF-EE", Stands::OtherSlot(b)),
            ("/dev/sda1", Stands::Nowhere),
            ("LABEL=my disk", Stands::Here),
            ("/dev/disk/by-label/my\\x20disk", Stands::Here),
            ("/dev/mapper/vg=1", Stands::Here),
            ("/dev/sdb3", Stands::OtherSlot(b)),
        ] {
            assert_eq!(disk.stands(name), stands, "{name}");
        }
        assert_eq!(PartitionNames::of_any_disk().stands("PARTLABEL=data"), Stands::Here);
    }

    #[test]
    fn numbers_of_odd_bytes_are_read_and_what_is_none_stays() {
        assert_eq!(unescaped("a\\040b\\134\\9\\", "\\", 8), "a b\\\\9\\");
        assert_eq!(unescaped("\\x2fx\\xg", "\\x", 16), "/x\\xg");
        assert_eq!(unescaped("\\xé", "\\x", 16), "\\xé");
    }
}
