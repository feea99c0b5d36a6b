//! Loads a kernel to jump into (kexec_file_load(2), linux/kexec.h).
#![allow(unsafe_code)]

use libc::{KEXEC_FILE_UNLOAD, SYS_kexec_file_load, c_long, c_ulong, syscall};
use rustix::io;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsRawFd;

/// Loads a kernel with its initramfs and command line. The kernel copies all of them.
pub fn load(kernel: &File, initramfs: &File, cmdline: &CStr) -> io::Result<()> {
    let length = cmdline.to_bytes_with_nul().len() as c_ulong;
    let (kernel, initramfs) = (kernel.as_raw_fd(), initramfs.as_raw_fd());
    // SAFETY: both descriptors are open for the call; `cmdline` is `length` bytes with its NUL, and
    // is only read.
    result(unsafe { syscall(SYS_kexec_file_load, kernel, initramfs, length, cmdline.as_ptr(), 0 as c_ulong) })
}

/// Unloads the kernel that was loaded.
pub fn unload() -> io::Result<()> {
    let (none, nothing) = (-1_i32, std::ptr::null::<libc::c_char>());
    // SAFETY: with KEXEC_FILE_UNLOAD the other arguments are ignored.
    result(unsafe { syscall(SYS_kexec_file_load, none, none, 0 as c_ulong, nothing, KEXEC_FILE_UNLOAD as c_ulong) })
}

fn result(returned: c_long) -> io::Result<()> {
    if returned == 0 {
        return Ok(());
    }
    let errno = std::io::Error::last_os_error();
    Err(io::Errno::from_io_error(&errno).unwrap_or(io::Errno::INVAL))
}
