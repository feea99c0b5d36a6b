//! Which partition this system runs from: told by the mounted root alone. What a boot loader left
//! in its variables or on the command line is stale after a kexec.

use rustix::fs::{major, minor, stat};
use std::fs;
use std::path::{Path, PathBuf};

/// The partition that is mounted at `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The disk's device, such as `/dev/sda`.
    pub disk: PathBuf,
    /// The disk's numbers, as sysfs writes them.
    pub numbers: String,
    /// The partition's number in the table.
    pub partition: u32,
}

impl Running {
    /// The root of this system; `None` if it is no partition (a container, memory, a network).
    pub fn find() -> Option<Running> {
        let root = stat("/").ok()?.st_dev;
        Running::of(Path::new(&format!("/sys/dev/block/{}:{}", major(root), minor(root))))
    }

    fn of(sys: &Path) -> Option<Running> {
        let partition = fs::canonicalize(sys).ok()?;
        let number = fs::read_to_string(partition.join("partition")).ok()?.trim().parse().ok()?;
        let disk = partition.parent()?;
        let numbers = fs::read_to_string(disk.join("dev")).ok()?.trim().to_owned();
        Some(Running { disk: node(disk)?, numbers, partition: number })
    }
}

/// The partition `number` of the disk with these numbers, as a device of its own: its path, first
/// byte and length. `None` where the kernel scans no partitions.
pub fn partition_node(numbers: &str, number: u32) -> Option<(PathBuf, u64, u64)> {
    let disk = fs::read_dir(format!("/sys/dev/block/{numbers}")).ok()?;
    let read = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let partition =
        disk.flatten().map(|entry| entry.path()).find(|path| read(path, "partition") == Some(u64::from(number)))?;
    // Both in units of 512 bytes, whatever the disk's sectors are (kernel: ABI/stable/sysfs-block).
    Some((node(&partition)?, read(&partition, "start")? * 512, read(&partition, "size")? * 512))
}

/// The device node of a folder in sysfs (its uevent says DEVNAME).
fn node(folder: &Path) -> Option<PathBuf> {
    let uevent = fs::read_to_string(folder.join("uevent")).ok()?;
    let name = uevent.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(Path::new("/dev").join(name)).filter(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_found_from_its_partition() {
        let folder = tempfile::tempdir().unwrap();
        let partition = folder.path().join("block/null/null3");
        fs::create_dir_all(&partition).unwrap();
        fs::write(partition.join("partition"), "3\n").unwrap();
        fs::write(partition.join("../dev"), "8:0\n").unwrap();
        fs::write(partition.join("../uevent"), "MAJOR=8\nDEVNAME=null\n").unwrap();
        let running = Running::of(&partition).unwrap();
        assert_eq!(running, Running { disk: "/dev/null".into(), numbers: "8:0".into(), partition: 3 });
        assert_eq!(Running::of(folder.path()), None);
    }
}
