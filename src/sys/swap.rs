//! Swap areas (swapon(2)).
#![allow(unsafe_code)]

use rustix::io;
use std::ffi::CString;

/// Starts to swap to a device. Needs CAP_SYS_ADMIN.
pub fn on(device: &str) -> io::Result<()> {
    let path = CString::new(device).map_err(|_| io::Errno::INVAL)?;
    // SAFETY: `path` ends with a NUL, and is only read.
    let returned = unsafe { libc::swapon(path.as_ptr(), 0) };
    if returned == 0 {
        return Ok(());
    }
    Err(io::Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(io::Errno::INVAL))
}
