//! Loop devices (linux/loop.h): in one call, so that nothing is left half-attached, and in two for kernels before 5.8.
#![allow(unsafe_code)]

use linux_raw_sys::ioctl::BLKROSET;
use linux_raw_sys::loop_device::{
    _bindgen_ty_1::LO_FLAGS_AUTOCLEAR, LOOP_CONFIGURE, LOOP_CTL_GET_FREE, LOOP_SET_DIRECT_IO, LOOP_SET_FD,
    LOOP_SET_STATUS64, loop_config, loop_info64,
};
use rustix::io;
use rustix::ioctl::{IntegerSetter, Ioctl, IoctlOutput, Opcode, Setter, ioctl};
use std::ffi::{c_int, c_void};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The ioctl `LOOP_CTL_GET_FREE`: its return value is the number of a free device.
struct GetFree;

// SAFETY: LOOP_CTL_GET_FREE reads and writes no memory of ours; its answer is the return value.
unsafe impl Ioctl for GetFree {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> io::Result<IoctlOutput> {
        Ok(out)
    }
}

/// Returns the number of a loop device that is free now; another process may take it first.
pub fn free_number(control: impl AsFd) -> io::Result<IoctlOutput> {
    // SAFETY: see the implementation of Ioctl above.
    unsafe { ioctl(control, GetFree) }
}

/// Binds `device` to `backing` at `offset`, for `length` bytes, with sectors of `sector` bytes
/// (`LOOP_CONFIGURE`, Linux 5.8). The kernel detaches it when its last user is gone
/// (`LO_FLAGS_AUTOCLEAR`), even after a kill. Fails with `EBUSY` if another process was faster.
pub fn configure(device: impl AsFd, backing: BorrowedFd, offset: u64, length: u64, sector: u32) -> io::Result<()> {
    // SAFETY: both are plain C structures of integers, for which all-zero is a valid value.
    let mut config: loop_config = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut info: loop_info64 = unsafe { std::mem::zeroed() };
    info.lo_offset = offset;
    info.lo_sizelimit = length;
    info.lo_flags = LO_FLAGS_AUTOCLEAR as u32;
    config.fd = u32::try_from(backing.as_raw_fd()).map_err(|_| io::Errno::BADF)?;
    config.block_size = sector;
    config.info = info;
    // SAFETY: LOOP_CONFIGURE reads one loop_config, which Setter keeps alive for the call.
    unsafe { ioctl(&device, Setter::<{ LOOP_CONFIGURE }, loop_config>::new(config)) }?;
    // SAFETY: BLKROSET reads one int, which Setter keeps alive for the call. A device that was made
    // read-only (blockdev --setro) stays so when another file is attached to it.
    unsafe { ioctl(&device, Setter::<{ BLKROSET }, c_int>::new(0)) }
}

/// Binds `device` to all of `backing`, as kernels before 5.8 can do it, too. The kernel detaches it when its last user
/// is gone. It is read-only if `backing` was opened for reading alone. What is read of it stands in memory once, where
/// the filesystem of `backing` can read past its cache.
pub fn attach(device: impl AsFd, backing: BorrowedFd) -> io::Result<()> {
    let number = usize::try_from(backing.as_raw_fd()).map_err(|_| io::Errno::BADF)?;
    // SAFETY: LOOP_SET_FD takes the number of a descriptor, which is open for the call, and no pointer.
    unsafe { ioctl(&device, IntegerSetter::<{ LOOP_SET_FD }>::new_usize(number)) }?;
    // SAFETY: a plain C structure of integers, for which all-zero is a valid value.
    let mut info: loop_info64 = unsafe { std::mem::zeroed() };
    info.lo_flags = LO_FLAGS_AUTOCLEAR as u32;
    // SAFETY: LOOP_SET_STATUS64 reads one loop_info64, which Setter keeps alive for the call.
    unsafe { ioctl(&device, Setter::<{ LOOP_SET_STATUS64 }, loop_info64>::new(info)) }?;
    // SAFETY: LOOP_SET_DIRECT_IO takes 0 or 1, and no pointer. Where it fails, the device reads through the cache.
    let _ = unsafe { ioctl(&device, IntegerSetter::<{ LOOP_SET_DIRECT_IO }>::new_usize(1)) };
    Ok(())
}
