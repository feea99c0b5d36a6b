//! Hardware watchdogs (linux/watchdog.h; kernel: watchdog/watchdog-api.rst).
#![allow(unsafe_code)]

use linux_raw_sys::ioctl::{WDIOC_GETTIMEOUT, WDIOC_SETTIMEOUT};
use rustix::io;
use rustix::ioctl::{Getter, Updater, ioctl};
use std::ffi::c_int;
use std::fs;
use std::os::fd::AsFd;

/// Folder in which the kernel describes its watchdogs (kernel: ABI/testing/sysfs-class-watchdog). Each has a
/// folder here with the name of its device.
pub const SYSFS: &str = "/sys/class/watchdog";

/// Returns the names of the watchdogs that this machine has now, sorted.
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(SYSFS).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Returns true if a watchdog runs.
pub fn is_active(name: &str) -> bool {
    fs::read_to_string(format!("{SYSFS}/{name}/state")).is_ok_and(|state| state.trim() == "active")
}

/// Sets the time after which the machine is reset, in seconds, and restarts the countdown. The driver
/// may round it; [`timeout`] returns the result.
pub fn set_timeout(device: impl AsFd, seconds: u32) -> io::Result<()> {
    let mut seconds = c_int::try_from(seconds).map_err(|_| io::Errno::INVAL)?;
    // SAFETY: WDIOC_SETTIMEOUT reads one int through its argument and writes what it was rounded to
    // back into it; Updater has it to itself for the call.
    unsafe { ioctl(device, Updater::<{ WDIOC_SETTIMEOUT }, c_int>::new(&mut seconds)) }
}

/// Returns the time after which the machine is reset, in seconds.
pub fn timeout(device: impl AsFd) -> io::Result<u32> {
    // SAFETY: WDIOC_GETTIMEOUT writes one int through its argument; Getter gives it one.
    let seconds = unsafe { ioctl(device, Getter::<{ WDIOC_GETTIMEOUT }, c_int>::new()) }?;
    u32::try_from(seconds).map_err(|_| io::Errno::INVAL)
}
