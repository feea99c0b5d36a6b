//! Uses of a device: mounts, swap, and the devices that the kernel has built on it, in the order in which
//! they can be released.

use crate::disk::safety::mounts::{Mounts, Names, numbers_at};
use crate::disk::safety::system::System;
use crate::disk::safety::writers;
use crate::disk::safety::writers::Writer;
use crate::error::Result;
use crate::hardware::block::Block;
use std::fs;

/// Limit of devices that are built on one another; a loop over itself has no end.
const DEPTH: u32 = 32;

/// One use of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Description of what uses it, a phrase.
    pub found: String,
    /// Command that releases it.
    pub release: String,
}

impl Use {
    fn new(found: impl Into<String>, release: impl Into<String>) -> Use {
        Use { found: found.into(), release: release.into() }
    }
}

impl System {
    /// Lists all uses of these devices, what is built on them first, because it must be released first.
    pub(super) fn uses(&self, blocks: &[Block]) -> Result<Vec<Use>> {
        let look = Look {
            system: self,
            mounts: Mounts::read(&self.proc)?,
            swaps: fs::read_to_string(self.proc.join("swaps")).unwrap_or_default(),
            all: self.sysfs.blocks(),
            writers: writers::find(&self.proc),
        };
        let mut uses = Vec::new();
        for block in blocks {
            look.uses_above(block, DEPTH, &mut uses);
            look.uses_of(block, &mut uses);
        }
        Ok(uses)
    }

    /// Lists all uses of a disk, its partitions, and what is built on them, in the order in which they can be released.
    pub fn uses_of_disk(&self, disk: &Block) -> Result<Vec<Use>> {
        let parts = self.sysfs.partitions(disk);
        self.uses(&parts.iter().chain([disk]).cloned().collect::<Vec<_>>())
    }

    /// Lists the names of the devices that are built directly on a disk or on its partitions.
    pub fn holders(&self, disk: &Block) -> Vec<String> {
        let parts = self.sysfs.partitions(disk);
        let blocks = self.sysfs.blocks();
        let above = parts.iter().chain([disk]).flat_map(|block| {
            let loops = loops_over(&blocks, block).map(|(over, _)| over.name());
            self.sysfs.built_on(block).iter().map(Block::name).chain(loops).collect::<Vec<_>>()
        });
        let mut names: Vec<String> = above.collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A snapshot of the machine.
struct Look<'s> {
    system: &'s System,
    mounts: Mounts,
    swaps: String,
    all: Vec<Block>,
    writers: Vec<Writer>,
}

impl Look<'_> {
    fn uses_above(&self, block: &Block, depth: u32, uses: &mut Vec<Use>) {
        let sysfs = &self.system.sysfs;
        for above in sysfs.built_on(block) {
            let parts = sysfs.partitions(&above);
            if depth > 0 {
                for part in parts.iter().chain([&above]) {
                    self.uses_above(part, depth - 1, uses);
                }
            }
            for part in parts.iter().chain([&above]) {
                self.uses_of(part, uses);
            }
            add(uses, built(&above, block));
        }
        for (over, device) in loops_over(&self.all, block) {
            if depth > 0 {
                self.uses_above(over, depth - 1, uses);
            }
            self.uses_of(over, uses);
            let found = format!("{} is a loop device over {device}", node(over));
            add(uses, Use::new(found, format!("losetup --detach {}", node(over))));
        }
    }

    /// Adds the uses of the device itself, not of what is built on it.
    fn uses_of(&self, block: &Block, uses: &mut Vec<Use>) {
        let Some(numbers) = block.attribute("dev") else { return };
        for swap in swaps_on(&self.swaps, block, &numbers) {
            add(uses, Use::new(format!("{swap} is swap"), format!("swapoff {swap}")));
        }
        for writer in self.writers.iter().filter(|writer| writer.numbers == numbers) {
            let Writer { process, name, .. } = writer;
            let found = format!("process {process} ({name}) has {} open for writing", block.name());
            add(uses, Use::new(found, format!("kill {process}")));
        }
        let around = self.system.sysfs.btrfs_around(block.clone());
        let is_btrfs = around.len() > 1 || self.system.sysfs.is_in_btrfs(block);
        let members = around.iter().filter_map(|member| member.attribute("dev")).collect();
        let mounted = self.mounts.of(&Names { numbers, members });
        for mount in &mounted {
            let place = &mount.place;
            add(
                uses,
                match &mount.by {
                    None => Use::new(format!("mounted at {place} ({})", block.name()), format!("umount {place}")),
                    Some((process, name)) => Use::new(
                        format!(
                            "mounted at {place} ({}) in the mount namespace of process {process} ({name})",
                            block.name()
                        ),
                        format!("nsenter --target {process} --mount umount {place}"),
                    ),
                },
            );
        }
        if is_btrfs && mounted.is_empty() {
            let found = format!("{} is part of a btrfs that is mounted out of sight", block.name());
            add(uses, Use::new(found, "btrfs filesystem show --mounted"));
        }
        if block.has("bcache") && !block.name().starts_with("bcache") && self.system.sysfs.built_on(block).is_empty() {
            let found = format!("{} is held by bcache", block.name());
            let stop = if block.has("bcache/stop") { "bcache/stop" } else { "bcache/set/stop" };
            add(uses, Use::new(found, format!("echo 1 > /sys/class/block/{}/{stop}", block.name())));
        }
    }
}

/// Adds a use unless it is there already: two ways may lead to the same one.
fn add(uses: &mut Vec<Use>, one: Use) {
    if !uses.contains(&one) {
        uses.push(one);
    }
}

/// Describes a device that is built on `below`, and how it is released. The kernel's device mapper has the
/// program that made a device in front of its UUID: `LVM-`, `CRYPT-` (libdevmapper, libcryptsetup), `mpath-`
/// (multipath-tools), `part1-mpath-` (kpartx).
fn built(above: &Block, below: &Block) -> Use {
    let (name, below) = (above.name(), below.name());
    let mapped = above.attribute("dm/name").unwrap_or_else(|| name.clone());
    let uuid = above.attribute("dm/uuid").unwrap_or_default();
    let on = |what: &str| format!("{mapped} ({name}), {what}, is built on {below}");
    if uuid.starts_with("LVM-") {
        return Use::new(on("an LVM volume"), format!("vgchange --activate n {}", volume_group(&mapped)));
    }
    if uuid.starts_with("CRYPT-") {
        return Use::new(on("an encrypted device (dm-crypt)"), format!("cryptsetup close {mapped}"));
    }
    if uuid.starts_with("mpath-") {
        return Use::new(on("a multipath device"), format!("multipath -f {mapped}"));
    }
    if uuid.starts_with("part") && uuid.contains("-mpath-") {
        return Use::new(on("a partition of a multipath device"), format!("kpartx -d {mapped}"));
    }
    if above.has("dm") {
        return Use::new(on("a device of the device mapper"), format!("dmsetup remove {mapped}"));
    }
    if above.has("md") {
        return Use::new(
            format!("{name}, an array (md RAID), is built on {below}"),
            format!("mdadm --stop /dev/{name}"),
        );
    }
    if above.has("bcache") || name.starts_with("bcache") {
        let stop = format!("echo 1 > /sys/class/block/{name}/bcache/stop");
        return Use::new(format!("{name}, a bcache device, is built on {below}"), stop);
    }
    Use::new(format!("{name} is built on {below}"), format!("see what it is: lsblk --inverse {}", node(above)))
}

/// Returns the volume group in the name of a mapped volume: what is before the first hyphen that is not
/// doubled (lvm(8), "VALID NAMES": device mapper doubles those of the names).
fn volume_group(mapped: &str) -> String {
    let joined = mapped.replace("--", "\0");
    joined.split('-').next().unwrap_or_default().replace('\0', "-")
}

/// Lists the loop devices over `block`, each with the path of its backing device; the kernel does not list
/// them as holders.
fn loops_over<'b>(all: &'b [Block], block: &Block) -> impl Iterator<Item = (&'b Block, String)> {
    let (own, numbers) = (node(block), block.attribute("dev"));
    all.iter().filter_map(move |over| {
        let backing = over.attribute("loop/backing_file")?;
        let is_it = backing == own || numbers.is_some() && numbers_at(&backing) == numbers;
        is_it.then_some((over, backing))
    })
}

/// Lists the swap areas on a device by the names that the system has for them (proc(5), swaps): the device's
/// own, or another.
fn swaps_on(swaps: &str, block: &Block, numbers: &str) -> Vec<String> {
    let areas = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let is_it = |area: &&str| **area == node(block) || numbers_at(area).as_deref() == Some(numbers);
    areas.filter(is_it).map(ToOwned::to_owned).collect()
}

/// Returns the path of the device's node: `!` stands for `/` in sysfs (`cciss!c0d0`).
fn node(block: &Block) -> String {
    format!("/dev/{}", block.name().replace('!', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_volume_group_is_told_from_the_name_of_a_volume() {
        assert_eq!(volume_group("vg0-root"), "vg0");
        assert_eq!(volume_group("my--vg-the--volume"), "my-vg");
    }
}
