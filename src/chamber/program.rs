//! The program that enters a chamber: a copy of this one, which nobody can change.

use crate::error::Result;
use anyhow::Context;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Returns the path of a sealed copy in memory, made once. An image's program finds it at `/proc/self/exe` while it
/// is started, and must not reach the file on this machine there (as in CVE-2019-5736).
pub fn sealed() -> Result<PathBuf> {
    static COPY: OnceLock<File> = OnceLock::new();
    if COPY.get().is_none() {
        let copy = copied().context("copying this program into memory")?;
        let _ = COPY.set(copy);
    }
    let copy = COPY.get().context("copying this program into memory")?;
    Ok(PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), copy.as_raw_fd())))
}

fn copied() -> io::Result<File> {
    let mut copy = File::from(memfd_create("flipslot", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(copy)
}
