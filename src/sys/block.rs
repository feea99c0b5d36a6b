//! System calls on block devices (linux/fs.h): sizes, partitions, caches, zeroing.
#![allow(unsafe_code)]

use linux_raw_sys::ioctl::{BLKFLSBUF, BLKGETDISKSEQ, BLKGETSIZE64, BLKROGET, BLKRRPART, BLKSSZGET, BLKZEROOUT};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io;
use rustix::ioctl::{Getter, NoArg, Setter, ioctl};
use std::ffi::c_int;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

/// Returns the size of a block device in bytes (`BLKGETSIZE64`).
pub fn size(device: impl AsFd) -> io::Result<u64> {
    // SAFETY: BLKGETSIZE64 writes one u64 through its argument; Getter gives it one.
    unsafe { ioctl(device, Getter::<{ BLKGETSIZE64 }, u64>::new()) }
}

/// Returns the logical sector size of a block device in bytes (`BLKSSZGET`).
pub fn sector_size(device: impl AsFd) -> io::Result<u64> {
    // SAFETY: BLKSSZGET writes one int through its argument; Getter gives it one.
    let size = unsafe { ioctl(device, Getter::<{ BLKSSZGET }, c_int>::new()) }?;
    u64::try_from(size).map_err(|_| io::Errno::INVAL)
}

/// Asks the kernel to read the partition table again (`BLKRRPART`). Fails with `EINVAL` where the kernel
/// scans no partitions, and with `EBUSY` where one is in use for longer than a second: programs that look at
/// every device, such as udev, open each only for a moment.
pub fn reread_partitions(device: impl AsFd) -> io::Result<()> {
    // SAFETY: BLKRRPART takes no argument.
    let reread = || unsafe { ioctl(&device, NoArg::<{ BLKRRPART }>::new()) };
    for _ in 0..10 {
        match reread() {
            Err(io::Errno::BUSY) => thread::sleep(Duration::from_millis(100)),
            done => return done,
        }
    }
    reread()
}

/// Writes back and drops the kernel's cache of a block device (`BLKFLSBUF`). A disk and its partitions are
/// cached separately: what was written through one may not be visible through the other before this.
pub fn drop_cache(device: impl AsFd) -> io::Result<()> {
    // SAFETY: BLKFLSBUF takes no argument.
    unsafe { ioctl(device, NoArg::<{ BLKFLSBUF }>::new()) }
}

/// Makes `length` bytes of a block device from `start` read back as zeros; both must be multiples of the
/// sector size, and a flush must follow. Where the device can discard them and promises to read zeros
/// afterwards, they are discarded (fallocate(2), FALLOC_FL_PUNCH_HOLE, which the kernel accepts for a
/// device only then); otherwise zeros are written, by the device itself or by the kernel (`BLKZEROOUT`).
pub fn zero_out(device: impl AsFd, start: u64, length: u64) -> io::Result<()> {
    if fallocate(&device, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, start, length).is_ok() {
        return Ok(());
    }
    // SAFETY: BLKZEROOUT reads two u64, start and length, through its argument; Setter keeps them
    // alive for the call.
    unsafe { ioctl(device, Setter::<{ BLKZEROOUT }, [u64; 2]>::new([start, length])) }
}

/// Returns true if the device is read-only (`BLKROGET`).
pub fn is_read_only(device: impl AsFd) -> io::Result<bool> {
    // SAFETY: BLKROGET writes one int through its argument; Getter gives it one.
    let flag = unsafe { ioctl(device, Getter::<{ BLKROGET }, c_int>::new()) }?;
    Ok(flag != 0)
}

/// Returns the sequence number of the disk behind a device, which no other disk gets until the machine
/// restarts (`BLKGETDISKSEQ`, Linux 5.15; `ENOTTY` before). Sysfs has the same number as `diskseq`.
pub fn sequence(device: impl AsFd) -> io::Result<u64> {
    // SAFETY: BLKGETDISKSEQ writes one u64 through its argument; Getter gives it one.
    unsafe { ioctl(device, Getter::<{ BLKGETDISKSEQ }, u64>::new()) }
}
