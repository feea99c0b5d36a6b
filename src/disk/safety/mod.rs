//! Whether a block device may be written: what uses it, and how to release it.

mod holders;
pub mod members;
mod mounts;
mod root;
pub mod writers;

use crate::error::{Result, refused};
use crate::hardware::Sysfs;
use crate::hardware::block::Block;
use rustix::fs::{fstat, major, minor};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

pub use holders::Use;
pub use mounts::mounted_device;

/// More uses than these are counted, not told.
const TOLD: usize = 6;
/// What a write would do to what is in use.
pub const DESTROYED: &str = "writing would destroy it";

/// Where the kernel tells of its devices and of its processes: this machine's, or a copy of them.
pub struct System {
    sysfs: Sysfs,
    proc: PathBuf,
}

impl System {
    /// This machine.
    pub fn this() -> Result<System> {
        System::at(Path::new("/sys"), Path::new("/proc"))
    }

    /// The machine whose `/sys` and `/proc` are there.
    pub fn at(sys: &Path, proc: &Path) -> Result<System> {
        Ok(System { sysfs: Sysfs::at(sys)?, proc: proc.to_owned() })
    }

    /// Its devices.
    pub fn sysfs(&self) -> &Sysfs {
        &self.sysfs
    }

    /// All that uses a disk, with its partitions and with what is built on them; in the order in which
    /// it can be released.
    pub fn uses_of_disk(&self, disk: &Block) -> Result<Vec<Use>> {
        let parts = self.sysfs.partitions(disk);
        self.uses(&parts.iter().chain([disk]).cloned().collect::<Vec<_>>())
    }

    /// Fails if one of these devices, or what is built on one, is in use, and says what harm it would do.
    /// `name` is what the user calls it.
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
}

/// A block device by its numbers, as `/sys` and `/proc` know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    major: u32,
    minor: u32,
}

impl Device {
    /// The device with these numbers (`st_rdev`).
    pub fn new(major: u32, minor: u32) -> Device {
        Device { major, minor }
    }

    /// The device behind an open descriptor, whatever its name leads to by now.
    pub fn of(file: impl AsFd) -> Result<Device> {
        let found = fstat(file)?.st_rdev;
        Ok(Device::new(major(found), minor(found)))
    }

    /// The same in sysfs. Refuses one that the kernel does not know: a node that is stale.
    pub fn block(&self, system: &System, name: &str) -> Result<Block> {
        system.sysfs.numbered(self.major, self.minor).ok_or_else(|| {
            refused(
                format!("{name} is no device that this kernel knows: its node is stale, or the disk is gone"),
                "list the disks of this machine: lsblk --nodeps",
            )
        })
    }

    /// Refuses a partition of a disk.
    pub fn refuse_if_partition(&self, name: &str) -> Result<()> {
        refuse_partition(name, &self.block(&System::this()?, name)?)
    }

    /// Refuses what may not be written as a whole disk: a partition; the disk of the running system,
    /// whatever lies between; what is mounted anywhere, is swap, or is held by another device (LVM,
    /// RAID, encryption, bcache, multipath, a loop).
    pub fn refuse_unless_free_disk(&self, name: &str) -> Result<()> {
        let system = System::this()?;
        let block = self.block(&system, name)?;
        refuse_partition(name, &block)?;
        system.refuse_root(name, &block)?;
        System::refuse_uses(name, &system.uses_of_disk(&block)?, DESTROYED)
    }

    /// The same, without a look for the running system; with the harm that it would do.
    pub fn refuse_if_used(&self, name: &str, harm: &str) -> Result<()> {
        let system = System::this()?;
        let block = self.block(&system, name)?;
        refuse_partition(name, &block)?;
        System::refuse_uses(name, &system.uses_of_disk(&block)?, harm)
    }

    /// The same for a partition, whatever its disk is used for.
    pub fn refuse_if_partition_used(&self, name: &str) -> Result<()> {
        let system = System::this()?;
        let block = self.block(&system, name)?;
        System::refuse_uses(name, &system.uses(&[block])?, DESTROYED)
    }
}

fn refuse_partition(name: &str, block: &Block) -> Result<()> {
    if !block.is_partition() {
        return Ok(());
    }
    let disk = block.folder().parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    Err(refused(
        format!("{name} is a partition; no firmware boots from a table in it"),
        format!("name the whole disk, if all of it may go: /dev/{}", disk.replace('!', "/")),
    ))
}
