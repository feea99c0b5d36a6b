//! A partition as a device of its own, a loop device at its offset and size: kernels that scan no partitions
//! on loop devices are common in CI, and so is a missing udev.

use crate::error::{Result, failed, refused};
use crate::sys::loop_device;
use crate::words::region::Region;
use anyhow::Context;
use rustix::io::Errno;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Number of attempts to get a device before another process takes it.
const RACES: u32 = 200;

/// A loop device; the kernel detaches it when the last descriptor and mount are gone, even after a kill.
pub struct Loop {
    _device: File,
    path: PathBuf,
}

impl Loop {
    /// Refuses to begin on a machine without loop devices.
    pub fn refuse_if_none() -> Result<()> {
        File::open("/dev/loop-control").map(drop).map_err(|error| {
            refused(format!("/dev/loop-control: {error}"), "run as root on a kernel with loop devices (modprobe loop); in a container, give it /dev/loop-control and /dev/loop*")
        })
    }

    /// Attaches `region` of `disk` as a device with sectors of `sector` bytes, like the disk's: a filesystem
    /// that is made there fits the disk.
    pub(crate) fn attach(disk: BorrowedFd, region: Region, sector: u64) -> Result<Loop> {
        let control = File::open("/dev/loop-control").context("opening /dev/loop-control")?;
        for race in 0..RACES {
            let number = loop_device::free_number(control.as_fd()).context("getting a free loop device")?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = File::options().read(true).write(true).open(&path).map_err(|error| {
                failed(
                    format!("{}: {error}", path.display()),
                    format!("make the device: mknod {} b 7 {number}", path.display()),
                )
            })?;
            match loop_device::configure(&device, disk, region.start, region.size, u32::try_from(sector)?) {
                Ok(()) => return Ok(Loop { _device: device, path }),
                Err(Errno::BUSY) => thread::sleep(Duration::from_millis(u64::from(race.min(20)))),
                Err(errno) => {
                    return Err(errno)
                        .with_context(|| format!("attaching partition {} to {}", region.number, path.display()));
                }
            }
        }
        Err(failed("cannot get a loop device: other processes take them first", "detach unused ones: losetup -D"))
    }

    /// Returns the device's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Finds a loop device over any byte of `region` of the disk file at `path`.
pub fn over_file(path: &Path, region: Region) -> Result<Option<String>> {
    over(path, region, |_| true)
}

/// Like [`over_file`], but counts only writable loop devices: a read-only one cannot change what is read.
pub fn writable_over_file(path: &Path, region: Region) -> Result<Option<String>> {
    over(path, region, |device| fs::read_to_string(device.join("ro")).is_ok_and(|text| text.trim() == "0"))
}

fn over(path: &Path, region: Region, counts: impl Fn(&Path) -> bool) -> Result<Option<String>> {
    let path = fs::canonicalize(path).with_context(|| format!("looking at {}", path.display()))?;
    for entry in fs::read_dir("/sys/block").context("listing /sys/block")?.flatten() {
        let read = |name: &str| fs::read_to_string(entry.path().join("loop").join(name)).ok();
        let Some(backing) = read("backing_file") else { continue };
        let number = |name: &str| read(name).and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
        let (start, limit) = (number("offset"), number("sizelimit"));
        let end = if limit == 0 { u64::MAX } else { start.saturating_add(limit) };
        if counts(&entry.path())
            && Path::new(backing.trim_end()) == path
            && start < region.start + region.size
            && region.start < end
        {
            return Ok(Some(format!("/dev/{}", entry.file_name().to_string_lossy())));
        }
    }
    Ok(None)
}
