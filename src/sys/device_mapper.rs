//! Devices of the device mapper (linux/dm-ioctl.h).
#![allow(unsafe_code)]

use linux_raw_sys::ioctl::{DM_DEV_CREATE, DM_DEV_REMOVE, DM_DEV_SUSPEND, DM_TABLE_LOAD};
use rustix::fs::minor;
use rustix::io;
use rustix::ioctl::{Opcode, Updater, ioctl};
use std::os::fd::AsFd;

/// Device of the calls.
pub const CONTROL: &str = "/dev/mapper/control";
/// Size in bytes of the blocks that its target `verity` compares, as this program uses it.
pub const VERITY_BLOCK: usize = 4096;
/// Oldest version of the interface that has all that is used here (DM_VERSION_MAJOR): each later one speaks it.
const VERSION: [u32; 3] = [4, 0, 0];
/// The table is read-only (DM_READONLY_FLAG).
const READ_ONLY: u32 = 1;
/// Longest parameters of a table in bytes.
const PARAMETERS_MAX: usize = 512;

/// `struct dm_ioctl`, with one `struct dm_target_spec` and its parameters behind it.
#[repr(C)]
struct Request {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
    sector_start: u64,
    length: u64,
    status: i32,
    next: u32,
    target_type: [u8; 16],
    parameters: [u8; PARAMETERS_MAX],
}

/// Size of `struct dm_ioctl` in bytes, behind which the table begins.
const HEAD: u32 = 312;

impl Request {
    fn new(name: &str) -> io::Result<Request> {
        // SAFETY: a plain C structure of integers, for which all-zero is a valid value.
        let mut request: Request = unsafe { std::mem::zeroed() };
        request.version = VERSION;
        request.data_size = u32::try_from(size_of::<Request>()).map_err(|_| io::Errno::INVAL)?;
        request.data_start = HEAD;
        put(&mut request.name, name)?;
        Ok(request)
    }

    fn call<const OPCODE: Opcode>(&mut self, control: impl AsFd) -> io::Result<()> {
        // SAFETY: each of these calls reads a dm_ioctl and what is behind it, `data_size` bytes in all, and writes no more
        // than that; Updater keeps the request alive for the call.
        unsafe { ioctl(control, Updater::<OPCODE, Request>::new(self)) }
    }
}

/// Writes a text that the kernel reads up to a NUL.
fn put(field: &mut [u8], text: &str) -> io::Result<()> {
    let room = field.get_mut(..text.len()).ok_or(io::Errno::NAMETOOLONG)?;
    room.copy_from_slice(text.as_bytes());
    if field.last() == Some(&0) { Ok(()) } else { Err(io::Errno::NAMETOOLONG) }
}

/// Makes a device of `sectors` of 512 bytes that is only read, by the target `kind` with these parameters. Returns its
/// minor number: it is `/dev/dm-MINOR`. One that cannot be started is removed.
pub fn make_read_only(control: impl AsFd, name: &str, sectors: u64, kind: &str, parameters: &str) -> io::Result<u32> {
    let mut request = Request::new(name)?;
    request.call::<DM_DEV_CREATE>(&control)?;
    let number = minor(request.dev);
    let start = || {
        let mut request = Request::new(name)?;
        (request.flags, request.target_count, request.length) = (READ_ONLY, 1, sectors);
        put(&mut request.target_type, kind)?;
        put(&mut request.parameters, parameters)?;
        request.call::<DM_TABLE_LOAD>(&control)?;
        // Without DM_SUSPEND_FLAG, it resumes: the table is in use from here on.
        Request::new(name)?.call::<DM_DEV_SUSPEND>(&control)
    };
    start().inspect_err(|_| {
        let _ = Request::new(name).and_then(|mut request| request.call::<DM_DEV_REMOVE>(&control));
    })?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_layout_of_the_kernel() {
        assert_eq!(std::mem::offset_of!(Request, dev), 40);
        assert_eq!(std::mem::offset_of!(Request, sector_start), 312);
        assert_eq!(std::mem::offset_of!(Request, parameters), 352);
        let mut request = Request::new("root").unwrap();
        assert!(put(&mut request.parameters, &"x".repeat(PARAMETERS_MAX)).is_err(), "no NUL is left");
        assert!(put(&mut request.target_type, &"x".repeat(17)).is_err());
    }
}
