//! Mounts of a device, in any mount namespace: a container may keep a filesystem mounted that this program's
//! own mount table does not show.

use crate::error::Result;
use anyhow::Context;
use rustix::fs::{FileType, major, minor, stat};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// A mount of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Mount point, as the namespace sees it.
    pub place: String,
    /// A process in the namespace, and its name; `None` if this program sees the mount itself.
    pub by: Option<(u32, String)>,
}

/// Identifiers of a device in mount tables.
pub struct Names {
    /// Numbers of the device, as in sysfs (`8:0`).
    pub numbers: String,
    /// Numbers of all devices of the filesystem that the device is a part of (btrfs), its own among them.
    pub members: Vec<String>,
}

/// The mount tables of a machine, one for each mount namespace.
pub struct Mounts(Vec<(Option<(u32, String)>, String)>);

impl Mounts {
    /// Reads the mount tables below `proc`, which is `/proc`, this program's own first. Omits a process that
    /// ends in the meantime.
    pub fn read(proc: &Path) -> Result<Mounts> {
        let own = proc.join("self/mountinfo");
        let table = fs::read_to_string(&own).with_context(|| format!("reading {}", own.display()))?;
        let mut tables = vec![(None, table)];
        let namespace = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
        let mut seen = BTreeSet::from_iter(namespace(&proc.join("self")));
        let mut processes: Vec<u32> = fs::read_dir(proc)
            .with_context(|| format!("reading {}", proc.display()))?
            .flatten()
            .filter_map(|entry| number(&entry.file_name()))
            .collect();
        processes.sort_unstable(); // the owner of a namespace is likely among its first processes
        for process in processes {
            let folder = proc.join(process.to_string());
            let is_new = namespace(&folder).is_some_and(|space| seen.insert(space));
            if let (true, Ok(table)) = (is_new, fs::read_to_string(folder.join("mountinfo"))) {
                let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
                tables.push((Some((process, name.trim().to_owned())), table));
            }
        }
        Ok(Mounts(tables))
    }

    /// Lists every mount of the device: each mount point once, those that this program sees first.
    pub fn of(&self, device: &Names) -> Vec<Mounted> {
        let mut places = BTreeSet::new();
        let mut found = Vec::new();
        for (by, table) in &self.0 {
            for place in mounts_of(table, device) {
                if places.insert(place.clone()) {
                    found.push(Mounted { place, by: by.clone() });
                }
            }
        }
        found
    }
}

fn number(name: &OsStr) -> Option<u32> {
    name.to_str()?.parse().ok()
}

/// Lists the mount points of a device in a table (proc(5), mountinfo: field 3 is major:minor, field 5 the
/// mount point, the second after " - " the source). A filesystem on several devices has numbers of its own,
/// major 0, and is recognized by its source.
fn mounts_of(table: &str, device: &Names) -> Vec<String> {
    let is_it = |line: &&str| {
        let numbers = line.split(' ').nth(2).unwrap_or_default();
        let source = || line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').nth(1)).unwrap_or_default();
        numbers == device.numbers
            || numbers.starts_with("0:")
                && source().split(':').filter_map(numbers_at).any(|numbers| device.members.contains(&numbers))
    };
    let lines = table.lines().filter(is_it);
    lines.map(|line| unescaped(line.split(' ').nth(4).unwrap_or("?"))).collect()
}

/// Returns the numbers of the block device at an absolute path, if there is one.
pub(super) fn numbers_at(path: &str) -> Option<String> {
    let found = path.starts_with('/').then(|| stat(path).ok())??;
    let is_device = FileType::from_raw_mode(found.st_mode) == FileType::BlockDevice;
    is_device.then(|| format!("{}:{}", major(found.st_rdev), minor(found.st_rdev)))
}

/// Quotes a path of mountinfo for the shell: it has blanks in octal (proc(5)), and keeps them so in quotes
/// that the shell reads (`$'…'`). Omits control characters.
fn unescaped(place: &str) -> String {
    let place: String = place.chars().filter(|c| !c.is_control()).collect();
    if place.contains('\\') { format!("$'{place}'") } else { place }
}

/// Returns where the device at `path` is mounted for this program, if all of it is, and not a directory in it.
pub fn mounted_device(path: &Path) -> Result<Option<String>> {
    let device = stat(path).with_context(|| format!("looking at {}", path.display()))?.st_rdev;
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    let whole = mounts.lines().filter(|line| line.split(' ').nth(3) == Some("/")).collect::<Vec<_>>().join("\n");
    let names = Names { numbers: format!("{}:{}", major(device), minor(device)), members: Vec::new() };
    Ok(mounts_of(&whole, &names).into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(numbers: &str) -> Names {
        Names { numbers: numbers.to_owned(), members: vec![numbers.to_owned()] }
    }

    #[test]
    fn mounts_are_found_by_device() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 8:18 / /mnt/my\\040x rw - xfs /dev/sdb2 rw\n";
        assert_eq!(mounts_of(mounts, &names("8:18")), [r"$'/mnt/my\040x'"]);
        assert!(mounts_of(mounts, &names("8:2")).is_empty());
    }

    #[test]
    fn a_mount_in_another_namespace_names_a_process_of_it_once() {
        let proc = tempfile::tempdir().unwrap();
        let process = |id: &str, space: &str, table: &str| {
            let folder = proc.path().join(id);
            fs::create_dir_all(folder.join("ns")).unwrap();
            std::os::unix::fs::symlink(space, folder.join("ns/mnt")).unwrap();
            fs::write(folder.join("mountinfo"), table).unwrap();
            fs::write(folder.join("comm"), format!("program{id}\n")).unwrap();
        };
        let mount = "30 22 8:18 / /data rw - xfs /dev/sdb2 rw\n";
        process("self", "mnt:[1]", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
        process("7", "mnt:[1]", "");
        process("500", "mnt:[2]", mount);
        process("41", "mnt:[2]", mount);
        let found = Mounts::read(proc.path()).unwrap().of(&names("8:18"));
        assert_eq!(found, [Mounted { place: "/data".into(), by: Some((41, "program41".into())) }]);
    }
}
