//! A slot that may be written or read while another one runs. Only this module makes one, after it has
//! refused what is in use.

use crate::boot::state::State;
use crate::disk::installed::open::Disk;
use crate::disk::installed::running::Node;
use crate::disk::safety::{DESTROYED, Device};
use crate::error::{Result, refused};
use crate::mount::loop_device::{self, Loop};
use crate::mount::vacant::{Ground, Vacant};
use crate::words::partuuid::PartUuid;
use crate::words::region::Region;
use crate::words::slot::Slot;
use rustix::fs::{OFlags, fstat, major, minor};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A slot that nothing runs from, and that no other process has open.
pub struct Idle {
    /// Name of the slot.
    pub slot: Slot,
    /// Position of its partition on the disk.
    pub region: Region,
    /// PARTUUID of its partition.
    pub partuuid: PartUuid,
    /// The partition's own device, opened for this program alone; or the disk.
    device: File,
    /// Position of the slot within `device`.
    within: Region,
    /// Size of a sector of the disk in bytes.
    sector: u64,
}

/// An idle slot that may be written. It is not the fallback either, unless [`Expendable::claim_any`] made it.
pub struct Expendable(Idle);

impl Idle {
    /// Claims `slot`; refuses the running one, and one that is mounted or used in any other way.
    pub fn claim(disk: &Disk, slot: Slot) -> Result<Idle> {
        disk.refuse_unknown(slot)?;
        if disk.running == Some(slot) {
            return Err(refused(format!("this system runs from slot {slot}"), "choose another slot: flipslot status"));
        }
        let (region, partuuid) = disk.table.slots[&slot];
        let whole = Region { start: 0, ..region };
        let node = disk.numbers.as_ref().and_then(|numbers| Node::find(numbers, region.number));
        let (device, within) = match (node, &disk.numbers) {
            (Some(node), _) => {
                let name = format!("slot {slot} ({})", node.path.display());
                let known = rustix::fs::stat(&node.path)?;
                Device::new(major(known.st_rdev), minor(known.st_rdev)).refuse_if_partition_used(&name)?;
                let device = open_alone(&node.path, &name)?;
                node.refuse_if_other(&device, region)?;
                (device, whole)
            }
            (None, Some(_)) => {
                let name = disk.path.display().to_string();
                let known = fstat(&disk.file)?;
                Device::new(major(known.st_rdev), minor(known.st_rdev)).refuse_if_used(&name, DESTROYED)?;
                (open_alone(&disk.path, &name)?, region)
            }
            (None, None) => {
                if let Some(device) = loop_device::over_file(&disk.path, region)? {
                    return Err(refused(
                        format!("slot {slot} is in use: {device} is a loop device over it"),
                        format!("release it: umount {device}; losetup --detach {device}"),
                    ));
                }
                (disk.file.try_clone()?, region)
            }
        };
        Ok(Idle { slot, region, partuuid, device, within, sector: disk.table.sector })
    }

    /// Attaches the slot as a device that can be mounted.
    pub fn attach(&self) -> Result<Loop> {
        Loop::attach(self.device.as_fd(), self.within, self.sector)
    }
}

impl Expendable {
    /// Claims `slot` for writing; refuses the running one, the fallback, and one that is in use.
    pub fn claim(disk: &Disk, slot: Slot, state: State) -> Result<Expendable> {
        let idle = Expendable::claim_any(disk, slot)?.0;
        if state.flashing(slot).is_none() {
            let next = match disk.running {
                Some(running) => format!(
                    "flash another slot; or, if slot {running} is confirmed, make it the fallback first: --promote"
                ),
                None => "flash another slot; this one is what the disk boots".to_owned(),
            };
            return Err(refused(
                format!("slot {slot} is proven: it is the fallback that every failed boot returns to"),
                next,
            ));
        }
        Ok(Expendable(idle))
    }

    /// Claims any slot for writing, even the fallback. A disk that this system does not run from must not be
    /// in use as a whole: a virtual machine that has it open does not prevent the opening of a partition or a
    /// file.
    pub fn claim_any(disk: &Disk, slot: Slot) -> Result<Expendable> {
        let idle = Idle::claim(disk, slot)?;
        let name = disk.path.display();
        if disk.running.is_none() && disk.numbers.is_some() {
            Device::of(&disk.file)?.refuse_if_partition_used(&name.to_string())?;
        }
        disk.refuse_if_file_is_written()?;
        Ok(Expendable(idle))
    }

    /// Attaches the slot's partition, to be formatted.
    pub fn vacant(&self) -> Result<Vacant> {
        Ok(Vacant::claimed(self.0.attach()?, Ground::Used))
    }

    /// Returns the idle slot.
    pub fn idle(&self) -> &Idle {
        &self.0
    }
}

fn open_alone(path: &Path, name: &str) -> Result<File> {
    // O_EXCL on a block device: no other process has it mounted, held or open with O_EXCL (open(2)).
    let exclusive = i32::try_from(OFlags::EXCL.bits())?;
    File::options().read(true).write(true).custom_flags(exclusive).open(path).map_err(|error| {
        refused(
            format!("{name} cannot be opened for this program alone: {error}"),
            format!("see what uses it: lsblk {0}; lsof {0}", path.display()),
        )
    })
}
