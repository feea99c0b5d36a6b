//! Whether a block device may be written: what uses it, and how to release it.

use crate::error::{Result, refused};
use anyhow::Context;
use rustix::fs::{major, minor, stat};
use std::fs;
use std::path::{Path, PathBuf};

/// A block device by its numbers, as `/sys` and `/proc` know it.
pub struct Device {
    major: u32,
    minor: u32,
}

impl Device {
    /// The device with these numbers (`st_rdev`).
    pub fn new(major: u32, minor: u32) -> Device {
        Device { major, minor }
    }

    /// Fails if the device or one of its partitions is mounted, is swap, or is held by another
    /// device (LVM, RAID, dm-crypt, a loop). `name` is what the user calls it.
    pub fn refuse_if_used(&self, name: &str) -> Result<()> {
        let sys = PathBuf::from(format!("/sys/dev/block/{}:{}", self.major, self.minor));
        if sys.join("partition").exists() {
            return Err(refused(
                format!("{name} is a partition; no firmware boots from a table in it"),
                "name the whole disk: lsblk",
            ));
        }
        let partitions = partitions(&sys);
        refuse_if_any_used(name, &[&[sys][..], &partitions].concat())
    }

    /// The same for a partition, whatever its disk is used for.
    pub fn refuse_if_partition_used(&self, name: &str) -> Result<()> {
        refuse_if_any_used(name, &[PathBuf::from(format!("/sys/dev/block/{}:{}", self.major, self.minor))])
    }
}

/// Fails if one of these devices, folders in sysfs, is in use.
fn refuse_if_any_used(name: &str, devices: &[PathBuf]) -> Result<()> {
    let numbers: Vec<String> = devices.iter().filter_map(|path| numbers(path)).collect();
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    if let Some(place) = mounted_at(&mounts, &numbers) {
        return Err(refused(
            format!("{name} is in use: mounted at {place}; writing would destroy it"),
            format!("unmount it: umount {place}"),
        ));
    }
    let names: Vec<String> = devices.iter().filter_map(|path| device_name(path)).collect();
    if let Some((device, uuid)) = names.iter().find_map(|name| Some((name, btrfs_with(name)?))) {
        let found = format!("{name} is in use: /dev/{device} belongs to a mounted btrfs; writing would destroy it");
        return Err(refused(found, format!("see where it is mounted: findmnt --source UUID={uuid}; then unmount it")));
    }
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    if let Some(swap) = swap_on(&swaps, &names) {
        return Err(refused(format!("{name} is in use: {swap} is swap"), format!("release it: swapoff {swap}")));
    }
    if let Some((device, held)) = loop_over(&names) {
        let found = format!("{name} is in use: {device} is a loop device over {held}");
        return Err(refused(found, format!("release it: losetup --detach {device}")));
    }
    for path in devices {
        if let Some(holder) = first_name(&path.join("holders")) {
            let found = format!("{name} is in use: {holder} is built on it (LVM, RAID or encryption)");
            return Err(refused(
                found,
                format!(
                    "see what it is: lsblk /dev/{holder}; then close it (vgchange -an, mdadm --stop, cryptsetup close)"
                ),
            ));
        }
    }
    Ok(())
}

/// Where the device at `path` is mounted, the whole of it and not a directory in it.
pub fn mounted_device(path: &Path) -> Result<Option<String>> {
    let device = stat(path).with_context(|| format!("looking at {}", path.display()))?.st_rdev;
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    let whole = mounts.lines().filter(|line| line.split(' ').nth(3) == Some("/")).collect::<Vec<_>>().join("\n");
    Ok(mounted_at(&whole, &[format!("{}:{}", major(device), minor(device))]))
}

/// The mount point of the first mount of one of these devices (proc(5), mountinfo: field 3 is
/// major:minor, field 5 the mount point).
fn mounted_at(mountinfo: &str, numbers: &[String]) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(2);
        let device = fields.next()?;
        numbers.iter().any(|number| number == device).then(|| fields.nth(1).unwrap_or("?").to_owned())
    })
}

/// The UUID of the btrfs that a device is part of while that is mounted, in whatever namespace. The
/// number of its mount is that of no device (kernel: fs/btrfs/sysfs.c).
fn btrfs_with(device: &str) -> Option<String> {
    let mut filesystems = fs::read_dir("/sys/fs/btrfs").ok()?.flatten();
    let found = filesystems.find(|entry| entry.path().join("devices").join(device).exists())?;
    Some(found.file_name().to_string_lossy().into_owned())
}

/// The first swap area on one of these devices (proc(5), swaps).
fn swap_on(swaps: &str, names: &[String]) -> Option<String> {
    let devices = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    devices
        .into_iter()
        .find(|device| names.iter().any(|name| **device == format!("/dev/{name}")))
        .map(ToOwned::to_owned)
}

/// A loop device over one of these devices, and which; the kernel does not list it as a holder.
fn loop_over(names: &[String]) -> Option<(String, String)> {
    let loops = fs::read_dir("/sys/block").ok()?.flatten();
    loops.into_iter().find_map(|entry| {
        let backing = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
        let held = names.iter().map(|name| format!("/dev/{name}")).find(|device| *device == backing.trim())?;
        Some((format!("/dev/{}", entry.file_name().to_string_lossy()), held))
    })
}

fn partitions(disk: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(disk).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.join("partition").exists()).collect()
}

fn numbers(device: &Path) -> Option<String> {
    fs::read_to_string(device.join("dev")).ok().map(|text| text.trim().to_owned())
}

fn device_name(device: &Path) -> Option<String> {
    fs::canonicalize(device).ok()?.file_name()?.to_str().map(ToOwned::to_owned)
}

fn first_name(folder: &Path) -> Option<String> {
    fs::read_dir(folder).ok()?.flatten().next().and_then(|entry| entry.file_name().into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_and_swaps_are_found_by_device() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 8:18 / /mnt/x rw - xfs /dev/sdb2 rw\n";
        assert_eq!(mounted_at(mounts, &["8:16".into(), "8:18".into()]).as_deref(), Some("/mnt/x"));
        assert_eq!(mounted_at(mounts, &["8:2".into()]), None);
        let swaps = "Filename Type Size Used Priority\n/dev/sdb3 partition 1 0 -2\n";
        assert_eq!(swap_on(swaps, &["sdb".into(), "sdb3".into()]).as_deref(), Some("/dev/sdb3"));
        assert_eq!(swap_on(swaps, &["sda3".into()]), None);
    }
}
