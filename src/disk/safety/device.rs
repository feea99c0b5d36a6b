//! Refuses a block device that may not be written.

use crate::disk::safety::holders::Use;
use crate::disk::safety::system::System;
use crate::error::{Result, refused};
use crate::hardware::block::Block;
use rustix::fs::{fstat, major, minor};
use std::os::fd::AsFd;
use std::path::Path;

/// Number of uses that a message lists; further ones are only counted.
const TOLD: usize = 6;
/// Consequence of writing to a device in use, for messages.
pub const DESTROYED: &str = "writing would destroy it";

/// A block device by its numbers, as `/sys` and `/proc` know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    major: u32,
    minor: u32,
}

impl Device {
    /// Makes a device from its numbers (`st_rdev`).
    pub fn new(major: u32, minor: u32) -> Device {
        Device { major, minor }
    }

    /// Returns the device behind an open descriptor, whatever its name leads to by now.
    pub fn of(file: impl AsFd) -> Result<Device> {
        let found = fstat(file)?.st_rdev;
        Ok(Device::new(major(found), minor(found)))
    }

    /// Finds the device in sysfs. Refuses one that the kernel does not know: its node is stale. `name` is the
    /// user's name for it.
    pub fn block(&self, system: &System, name: &str) -> Result<Block> {
        system.sysfs.numbered(self.major, self.minor).ok_or_else(|| {
            refused(
                format!("{name} is not a device that this kernel knows: its node is stale, or the disk is gone"),
                "list the disks of this machine: lsblk --nodeps",
            )
        })
    }

    /// Refuses a partition of a disk.
    pub fn refuse_if_partition(&self, name: &str) -> Result<()> {
        refuse_partition(name, &self.block(&System::this()?, name)?)
    }

    /// Refuses a device that may not be written as a whole disk: a partition; the disk of the running system,
    /// through any layers in between; one that is mounted anywhere, is swap, or is held by another device
    /// (LVM, RAID, encryption, bcache, multipath, a loop).
    pub fn refuse_unless_free_disk(&self, name: &str) -> Result<()> {
        let system = System::this()?;
        let block = self.block(&system, name)?;
        refuse_partition(name, &block)?;
        system.refuse_root(name, &block)?;
        refuse_uses(name, &system.uses_of_disk(&block)?, DESTROYED)
    }

    /// Like [`Device::refuse_unless_free_disk`], but skips the check for the running system; `harm` is quoted
    /// in the error.
    pub fn refuse_if_used(&self, name: &str, harm: &str) -> Result<()> {
        let system = System::this()?;
        let block = self.block(&system, name)?;
        refuse_partition(name, &block)?;
        refuse_uses(name, &system.uses_of_disk(&block)?, harm)
    }

    /// Like [`Device::refuse_if_used`], but for a partition, whatever its disk is used for.
    pub fn refuse_if_partition_used(&self, name: &str) -> Result<()> {
        let system = System::this()?;
        let block = self.block(&system, name)?;
        refuse_uses(name, &system.uses(&[block])?, DESTROYED)
    }
}

fn refuse_partition(name: &str, block: &Block) -> Result<()> {
    if !block.is_partition() {
        return Ok(());
    }
    let disk = block.folder().parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    Err(refused(
        format!("{name} is a partition; no firmware boots from a table in it"),
        format!("name the whole disk, if all of it may be overwritten: /dev/{}", disk.replace('!', "/")),
    ))
}

/// Refuses a device with any uses. `name` is the user's name for it, and `harm` says in the error what
/// writing would do.
fn refuse_uses(name: &str, uses: &[Use], harm: &str) -> Result<()> {
    if uses.is_empty() {
        return Ok(());
    }
    let mut found: Vec<&str> = uses.iter().map(|one| one.found.as_str()).take(TOLD).collect();
    let more = format!("and {} more", uses.len().saturating_sub(TOLD));
    if uses.len() > TOLD {
        found.push(&more);
    }
    let mut release: Vec<&str> = Vec::new();
    for one in uses {
        if !release.contains(&one.release.as_str()) {
            release.push(&one.release);
        }
    }
    Err(refused(
        format!("{name} is in use: {}; {harm}", found.join("; ")),
        format!("release it: {}", release.join("; ")),
    ))
}
