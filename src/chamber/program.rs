//! The program that enters a chamber: a copy of this one, which nobody can change.

use crate::error::Result;
use anyhow::Context;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Words for unshare(1) that make the namespaces. Unmounts of this machine reach the new one, as long as it has its
/// mounts: nothing is kept busy.
pub const NAMESPACES: [&str; 9] =
    ["--mount", "--propagation=slave", "--pid", "--ipc", "--uts", "--net", "--fork", "--kill-child=KILL", "--"];

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
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Where vm.memfd_noexec is 1, it must say that it will be executed (Linux 6.3); kernels before refuse the word.
    let made = match memfd_create("flipslot", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => memfd_create("flipslot", flags),
        made => made,
    };
    let mut copy = File::from(made?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(copy)
}
