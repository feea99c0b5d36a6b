//! The machine that this program runs on: what is mounted at `/`, and what `/proc` adds to sysfs.

use crate::error::{Result, refused};
use crate::hardware::block::Block;
use crate::hardware::{Inventory, Sysfs};
use anyhow::Context;
use rustix::fs::{FileType, Stat, major, minor, stat};
use std::fs;
use std::path::Path;

/// Collects what this machine needs to boot from `disk`, any name of a whole block device. Without one,
/// takes the disks that `/` is on or, if it is not on a disk (a container, memory), every disk of the
/// machine. Refuses anything that is not a disk of this machine.
pub fn this_machine(disk: Option<&Path>) -> Result<Inventory> {
    let sysfs = Sysfs::at(Path::new("/sys"))?;
    let disks = match disk {
        Some(path) => vec![disk_at(&sysfs, path)?],
        None => boot_disks(&sysfs)?,
    };
    let mut inventory = sysfs.inventory(&disks)?;
    inventory.memory = total(&fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?);
    // X86_FEATURE_HYPERVISOR (arch/x86/include/asm/cpufeatures.h), which processors reserve for hypervisors.
    inventory.guest = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" hypervisor"));
    // kernel: admin-guide/sysctl/kernel.rst, kexec_load_disabled
    let allowed = fs::read_to_string("/proc/sys/kernel/kexec_load_disabled").is_ok_and(|text| text.trim() == "0");
    inventory.kexec = inventory.kexec.map(|known| known && allowed);
    Ok(inventory)
}

/// Returns the whole disk at a path, identified by its device numbers.
fn disk_at(sysfs: &Sysfs, path: &Path) -> Result<Block> {
    let name = path.display();
    let list = "list the disks of this machine: lsblk --nodeps";
    let found = stat(path).with_context(|| format!("looking at {name}"))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::BlockDevice {
        return Err(refused(format!("{name} is not a block device: this machine does not boot from it"), list));
    }
    let Some(block) = numbered(sysfs, found.st_rdev) else {
        return Err(refused(format!("{name} is a stale node: this kernel knows no such device"), list));
    };
    if block.is_partition() {
        return Err(refused(format!("{name} is a partition; a machine boots from a whole disk"), list));
    }
    Ok(block)
}

/// Lists the devices that `/` is on, or else every real disk.
fn boot_disks(sysfs: &Sysfs) -> Result<Vec<Block>> {
    let root = root_devices(sysfs)?;
    if !root.is_empty() {
        return Ok(root);
    }
    let disks: Vec<Block> = sysfs.real_disks().into_iter().filter(|disk| sysfs.is_hardware(disk)).collect();
    if disks.is_empty() {
        return Err(refused("this machine has no disk: its root is in memory or on a network", "name a disk: --disk"));
    }
    Ok(disks)
}

/// Lists the devices that `/` is mounted from; none if it is in memory, on a network, or an overlay.
pub fn root_devices(sysfs: &Sysfs) -> Result<Vec<Block>> {
    let root = stat("/").context("looking at /")?;
    if let Some(block) = numbered(sysfs, root.st_dev) {
        return Ok(vec![block]);
    }
    // btrfs and bcachefs give no device number, but name the device as the source of the mount.
    let members = sources_of_root()?.into_iter().filter_map(|found| numbered(sysfs, found.st_rdev));
    Ok(members.flat_map(|member| sysfs.btrfs_around(member)).collect())
}

fn numbered(sysfs: &Sysfs, device: u64) -> Option<Block> {
    sysfs.numbered(major(device), minor(device))
}

/// Looks up the block devices that were mounted at `/`, by their names.
pub(crate) fn sources_of_root() -> Result<Vec<Stat>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    let is_device = |found: &Stat| FileType::from_raw_mode(found.st_mode) == FileType::BlockDevice;
    Ok(names_of_root(&mounts).into_iter().filter_map(|source| stat(source).ok()).filter(is_device).collect())
}

/// Returns the names in `/dev` of what is mounted at `/`; bcachefs joins several with colons (proc(5),
/// mountinfo: field 5 is the mount point, the second after " - " the source).
fn names_of_root(mountinfo: &str) -> Vec<&str> {
    // The last mount covers the others.
    let root = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some("/"));
    let source = root.and_then(|line| line.split_once(" - ")?.1.split(' ').nth(1)).unwrap_or_default();
    source.split(':').filter(|name| name.starts_with("/dev/")).collect()
}

/// Parses MemTotal of proc_meminfo(5) and returns it in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_the_root_is_that_of_the_last_mount_there() {
        let initramfs = "1 1 0:2 / / rw - rootfs rootfs rw\n";
        let btrfs = "29 1 0:26 /@ / rw,relatime shared:1 - btrfs /dev/nvme0n1p2 rw,subvol=/@\n";
        let home = "40 29 8:1 / /home rw - ext4 /dev/sda1 rw\n";
        assert_eq!(names_of_root(&format!("{initramfs}{btrfs}{home}")), ["/dev/nvme0n1p2"]);
        assert_eq!(names_of_root("29 1 0:26 / / rw - bcachefs /dev/sda2:/dev/sdb2 rw\n"), ["/dev/sda2", "/dev/sdb2"]);
        for none in
            ["overlay overlay rw,lowerdir=/dev/x", "nfs4 10.0.0.1:/srv rw", "tmpfs tmpfs rw", "zfs tank/root rw"]
        {
            assert!(names_of_root(&format!("29 1 0:26 / / rw - {none}\n")).is_empty(), "{none}");
        }
        assert!(names_of_root("").is_empty() && names_of_root("29 1 0:26 / /\n").is_empty());
    }

    #[test]
    fn all_memory_is_read() {
        assert_eq!(total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(total("MemTotal: 99999999999999999999 kB\n"), None);
    }
}
