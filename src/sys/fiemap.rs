//! Allocated extents of a file (FIEMAP, linux/fiemap.h), preallocated ones included.
#![allow(unsafe_code)]

use linux_raw_sys::ioctl::{FIEMAP_EXTENT_LAST, FIEMAP_FLAG_SYNC, FS_IOC_FIEMAP};
use rustix::io;
use rustix::ioctl::{Updater, ioctl};
use std::ops::Range;
use std::os::fd::AsFd;

/// The number of extents to ask for at once.
const COUNT: usize = 256;

/// `struct fiemap` with room for its extents.
#[repr(C)]
struct Map {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
    extents: [Extent; COUNT],
}

/// `struct fiemap_extent` of linux/fiemap.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// Returns the byte ranges of `file`, in order, that its filesystem has allocated, whatever was written
/// there, zeros included. Fails with `EOPNOTSUPP` or `ENOTTY` where the filesystem does not say.
pub fn allocated(file: impl AsFd, size: u64) -> io::Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    while start < size {
        let mut map = Map {
            start,
            length: size - start,
            flags: FIEMAP_FLAG_SYNC,
            mapped: 0,
            count: 256,
            reserved: 0,
            extents: [Extent::default(); COUNT],
        };
        // SAFETY: FS_IOC_FIEMAP reads and writes a struct fiemap with `count` extents behind it, which
        // Map is, with COUNT of them.
        unsafe { ioctl(&file, Updater::<{ FS_IOC_FIEMAP }, Map>::new(&mut map)) }?;
        let extents = &map.extents[..COUNT.min(map.mapped as usize)];
        ranges.extend(extents.iter().map(|extent| extent.logical..size.min(extent.logical + extent.length)));
        let Some(last) = extents.last() else { break };
        start = last.logical + last.length;
        if last.flags & FIEMAP_EXTENT_LAST != 0 {
            break;
        }
    }
    Ok(ranges)
}
