//! Descriptors that a process was given by whoever started it.
#![allow(unsafe_code)]

use std::fs;
use std::io;

/// The first descriptor that is not a standard stream.
const FIRST: u32 = 3;

/// Closes every descriptor but the standard streams, whoever opened it (close_range(2), Linux 5.9; before that, one
/// by one). Nothing in this process may use one of them later.
pub fn close_all_but_standard() -> io::Result<()> {
    // SAFETY: the caller uses none of them later; close_range(2) does not access memory.
    if unsafe { libc::syscall(libc::SYS_close_range, FIRST, u32::MAX, 0) } == 0 {
        return Ok(());
    }
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number >= FIRST.cast_signed())
        .collect();
    for number in open {
        // SAFETY: as above; the one of the directory is closed already, which close(2) says, and nothing else.
        unsafe { libc::close(number) };
    }
    Ok(())
}
