//! Detects whether a file is open for writing (fcntl(2), "Leases").
#![allow(unsafe_code)]

use libc::{F_RDLCK, F_SETLEASE, F_UNLCK, c_int};
use rustix::io::{self, Errno};
use std::fs::File;
use std::os::fd::AsRawFd;

/// Returns whether anything has the file open for writing, a loop device or a virtual machine included.
/// `file` must be open read-only. Returns `None` where this cannot be determined: on a filesystem without
/// leases, and for another user's file without CAP_LEASE.
pub fn is_open_for_writing(file: &File) -> io::Result<Option<bool>> {
    // A read lease is granted only if the file is not open for writing anywhere (else EAGAIN). It is released
    // at once: a later open of the file must not wait for this program.
    match set(file, F_RDLCK) {
        Ok(()) => set(file, F_UNLCK).map(|()| Some(false)),
        Err(Errno::AGAIN) => Ok(Some(true)),
        Err(Errno::INVAL | Errno::ACCESS | Errno::OPNOTSUPP | Errno::PERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn set(file: &File, kind: c_int) -> io::Result<()> {
    // SAFETY: F_SETLEASE takes one int and touches no memory of ours; the descriptor is open.
    if unsafe { libc::fcntl(file.as_raw_fd(), F_SETLEASE, kind) } == 0 {
        return Ok(());
    }
    let errno = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&errno).unwrap_or(Errno::INVAL))
}
