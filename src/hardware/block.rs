//! Block devices in sysfs: disks, the devices that they are built on, and what they report of themselves.

use crate::error::{Result, refused};
use crate::hardware::Sysfs;
use crate::hardware::inventory::DiskFacts;
use crate::hardware::sysfs::{names, number, text};
use crate::words::units::MIB;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The most devices below the boot filesystem: 100 disks with 8 paths each, and RAID over them, are fewer.
const LEGS_MAX: usize = 1024;
/// The kernel's unit of `size` (kernel: ABI/stable/sysfs-block), and the block size of a disk that reports
/// none (block/blk-settings.c), in bytes.
const SECTOR: u32 = 512;

/// The smallest disk that can hold a slot, in bytes: a boot partition alone needs as much. Floppies, and
/// the boot areas of an eMMC, are smaller.
const SMALLEST: u64 = 64 * MIB;

/// A block device, identified by its folder below `/sys/devices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    folder: PathBuf,
}

impl Block {
    /// Returns the kernel's name of the device: `sda`.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns true if the device is a partition.
    pub fn is_partition(&self) -> bool {
        self.folder.join("partition").is_file()
    }

    /// Reads the first line of an attribute, by its path below the device's folder: `dm/uuid`.
    pub fn attribute(&self, path: &str) -> Option<String> {
        text(&self.folder.join(path))
    }

    /// Returns true if the device's folder has a file or folder of this name: `md`, `bcache`.
    pub fn has(&self, path: &str) -> bool {
        self.folder.join(path).exists()
    }

    /// Reads all bytes of an attribute that is not text: `device/vpd_pg80`.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join(path)).ok()
    }

    /// Returns the device's folder, below `/sys/devices`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Sysfs {
    /// Finds the block device with these numbers.
    pub fn numbered(&self, major: u32, minor: u32) -> Option<Block> {
        self.block(self.path(format!("dev/block/{major}:{minor}")))
    }

    /// Finds the block device by the kernel's name of it: `sda`, `cciss!c0d0`.
    pub fn named(&self, name: &str) -> Option<Block> {
        self.block(self.path("class/block").join(name))
    }

    fn block(&self, link: PathBuf) -> Option<Block> {
        Some(Block { folder: self.device(&link)? })
    }

    /// Lists the disks that have a device behind them, not only the kernel, and are large enough to boot from.
    pub fn real_disks(&self) -> Vec<Block> {
        let all = self.blocks().into_iter();
        // A path of a multipath NVMe disk has no device numbers of its own; the disk itself has.
        all.filter(|block| !block.is_partition() && ["device", "dev"].iter().all(|it| block.folder.join(it).exists()))
            .filter(|block| self.facts(block).is_ok_and(|facts| facts.size >= SMALLEST))
            .collect()
    }

    /// Lists all devices of the btrfs that `member` belongs to (kernel: fs/btrfs/sysfs.c), or only `member`.
    pub fn btrfs_around(&self, member: Block) -> Vec<Block> {
        let filesystems = self.path("fs/btrfs");
        let members = names(&filesystems).into_iter().map(|uuid| {
            let folder = filesystems.join(uuid).join("devices");
            names(&folder).into_iter().filter_map(|name| self.block(folder.join(name))).collect::<Vec<_>>()
        });
        members.into_iter().find(|members| members.contains(&member)).unwrap_or_else(|| vec![member])
    }

    /// Lists all block devices, partitions included.
    pub fn blocks(&self) -> Vec<Block> {
        names(&self.path("class/block")).into_iter().filter_map(|name| self.named(&name)).collect()
    }

    /// Lists the partitions of a disk that the kernel knows.
    pub fn partitions(&self, disk: &Block) -> Vec<Block> {
        let below = names(&disk.folder).into_iter().filter_map(|name| self.block(disk.folder.join(name)));
        below.filter(Block::is_partition).collect()
    }

    /// Lists the devices built directly on `block`, as it says (`holders`) or as they say (`slaves`).
    pub fn built_on(&self, block: &Block) -> Vec<Block> {
        let linked = |folder: PathBuf| names(&folder).into_iter().filter_map(move |name| self.block(folder.join(name)));
        let mut above: Vec<Block> = linked(block.folder.join("holders")).collect();
        for other in self.blocks() {
            if !above.contains(&other) && linked(other.folder.join("slaves")).any(|below| below == *block) {
                above.push(other);
            }
        }
        above
    }

    /// Returns true if a mounted btrfs has `member` among its devices.
    pub fn is_in_btrfs(&self, member: &Block) -> bool {
        let filesystems = self.path("fs/btrfs");
        names(&filesystems).into_iter().any(|uuid| {
            let folder = filesystems.join(uuid).join("devices");
            names(&folder).into_iter().filter_map(|name| self.block(folder.join(name))).any(|other| other == *member)
        })
    }

    /// Lists the disks below `blocks`, each once: through partitions, and through devices built on others
    /// (RAID, LVM, multipath, encryption, bcache).
    pub fn disks_below(&self, blocks: &[Block]) -> Result<Vec<Block>> {
        let mut ahead: Vec<Block> = blocks.iter().rev().cloned().collect();
        let (mut seen, mut disks) = (BTreeSet::new(), Vec::new());
        while let Some(block) = ahead.pop() {
            let disk = self.whole(block);
            if !seen.insert(disk.folder.clone()) {
                continue;
            }
            if seen.len() > LEGS_MAX {
                let found = format!("this machine's boot filesystem is on more than {LEGS_MAX} devices");
                return Err(refused(found, "name the disk that it boots from: --disk"));
            }
            let slaves = disk.folder.join("slaves");
            let below: Vec<Block> =
                names(&slaves).into_iter().rev().filter_map(|name| self.block(slaves.join(name))).collect();
            if below.is_empty() {
                disks.push(disk);
            }
            ahead.extend(below);
        }
        Ok(disks)
    }

    /// Returns the disk of a partition; returns any other device as it is.
    pub fn whole(&self, block: Block) -> Block {
        let disk = block.is_partition().then(|| block.folder.parent().and_then(|parent| self.device(parent)));
        disk.flatten().map_or(block, |folder| Block { folder })
    }

    /// Lists the device folders at which the paths to a disk start: the disk's own, or, for an NVMe disk with
    /// several paths, those of its controllers (kernel: drivers/nvme/host/core.c, which links them into the
    /// subsystem's folder).
    pub(super) fn ways(&self, disk: &Block) -> Vec<PathBuf> {
        let subsystem = disk.folder.parent().filter(|folder| {
            self.below_devices(folder).is_some_and(|below| below.starts_with("virtual/nvme-subsystem"))
        });
        let Some(subsystem) = subsystem else { return vec![disk.folder.clone()] };
        let links = names(subsystem).into_iter().map(|name| subsystem.join(name)).filter(|path| path.is_symlink());
        links.filter_map(|link| self.device(&link)).collect()
    }

    /// Reads what a disk reports of itself; fails if the kernel does not report its size.
    pub(super) fn facts(&self, disk: &Block) -> Result<DiskFacts> {
        let read = |attribute: &str| text(&disk.folder.join(attribute));
        let unit = |attribute: &str| number(&disk.folder.join("queue").join(attribute)).unwrap_or(SECTOR);
        let size = number::<u64>(&disk.folder.join("size")).and_then(|sectors| sectors.checked_mul(SECTOR.into()));
        let size = size.ok_or_else(|| {
            refused(format!("the kernel does not report the size of {}", disk.name()), "name another disk: --disk")
        })?;
        Ok(DiskFacts {
            name: disk.name(),
            size,
            logical_block_size: unit("logical_block_size"),
            physical_block_size: unit("physical_block_size"),
            model: read("device/model"),
            // virtio-blk has it in the disk's own folder (drivers/block/virtio_blk.c).
            serial: read("device/serial").or_else(|| read("serial")),
        })
    }
}
