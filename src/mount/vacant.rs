//! Partitions that may be overwritten, as devices. Only code that has refused whatever is in use makes one:
//! `disk::new::target` for a new disk, `disk::installed::claim` for a slot of an existing one.

use crate::mount::loop_device::Loop;
use std::path::Path;

/// A partition whose bytes may be lost, as a device. `Filesystem::format` takes nothing else.
pub struct Vacant {
    device: Loop,
    ground: Ground,
}

impl Vacant {
    /// Declares that the bytes of `device` may be destroyed. A test holds the list of its callers.
    pub(crate) fn claimed(device: Loop, ground: Ground) -> Vacant {
        Vacant { device, ground }
    }

    /// Returns the device's path.
    pub fn path(&self) -> &Path {
        self.device.path()
    }

    /// Returns what the bytes are now.
    pub fn ground(&self) -> Ground {
        self.ground
    }

    /// Records that the partition was written to.
    pub(crate) fn overwritten(self) -> Overwritten {
        Overwritten { device: self.device }
    }
}

/// A partition that was vacant, and now holds a filesystem that this run has made there.
pub struct Overwritten {
    device: Loop,
}

impl Overwritten {
    /// Returns the device's path.
    pub fn path(&self) -> &Path {
        self.device.path()
    }

    /// Gives up what this run has written to the partition, which may then be formatted again.
    pub fn vacate(self) -> Vacant {
        Vacant { device: self.device, ground: Ground::Used }
    }
}

/// The bytes of a partition before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Zeros: a new file.
    Zeros,
    /// Anything, from an earlier use.
    Used,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// The files that have refused what is in use before they declare a partition vacant.
    const CLAIMS: [&str; 2] = ["disk/installed/claim.rs", "disk/new/target.rs"];

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let below = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        below.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn a_partition_is_declared_vacant_only_where_its_use_was_refused() {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let call = concat!("Vacant::", "claimed");
        let calls = |path: &PathBuf| fs::read_to_string(path).unwrap().contains(call);
        let mut found: Vec<PathBuf> = sources(&src).into_iter().filter(calls).collect();
        found.sort();
        assert_eq!(found, CLAIMS.map(|file| src.join(file)), "a new caller must refuse what is in use; then add it");
    }
}
