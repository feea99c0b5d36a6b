//! Identifiers of the golden disk and of one copy: which UUID became which.

/// Pairs of old and new identifiers as written in command lines and in fstab, both of the same length.
#[derive(Debug, Clone, Default)]
pub struct Names(Vec<(String, String)>);

impl Names {
    /// Adds the identifier of the disk, of a partition or of a filesystem. All zeros mean that there is none.
    pub fn add(&mut self, old: String, new: String) {
        let is_none = old.bytes().all(|byte| b"0-".contains(&byte));
        if !is_none && old != new {
            self.0.push((old, new));
        }
    }

    /// Adds a FAT volume id, which serves as the UUID of its filesystem.
    pub fn add_volume(&mut self, old: u32, new: u32) {
        if old != new {
            self.0.push((volume(old), volume(new)));
        }
    }

    /// Returns `text` with every old identifier replaced by the new one. The case of a UUID does not matter
    /// (libblkid).
    pub fn renewed(&self, text: &str) -> String {
        let mut renewed = text.to_owned();
        for (old, new) in &self.0 {
            while let Some(at) = renewed.to_ascii_lowercase().find(&old.to_ascii_lowercase()) {
                renewed.replace_range(at..at + old.len(), new);
            }
        }
        renewed
    }

    /// Returns whether `text` contains an old identifier.
    pub fn stand_in(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        self.0.iter().any(|(old, _)| text.contains(&old.to_ascii_lowercase()))
    }
}

/// Formats a FAT volume id as in blkid(8) and fstab(5).
fn volume(id: u32) -> String {
    format!("{:04X}-{:04X}", id >> 16, id & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_old_name_becomes_the_new_one_in_any_case() {
        let [old, new] = ["11111111-2222-3333-4444-aaaaaaaaaaaa", "66666666-7777-8888-9999-bbbbbbbbbbbb"];
        let mut names = Names::default();
        names.add(old.to_owned(), new.to_owned());
        names.add("00000000-0000-0000-0000-000000000000".to_owned(), new.to_owned());
        names.add_volume(0x0a1b_2c3d, 0x0000_00ff);
        let line = format!("root=PARTUUID={} x=UUID={old} y=0a1b-2C3D", old.to_uppercase());
        assert!(names.stand_in(&line) && !names.stand_in(new));
        assert_eq!(names.renewed(&line), format!("root=PARTUUID={new} x=UUID={new} y=0000-00FF"));
    }
}
