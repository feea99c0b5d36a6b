//! A private mount namespace: its mounts vanish with the process.
#![allow(unsafe_code)]

use rustix::io;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves the calling thread into IPC, UTS and network namespaces of its own. Needs CAP_SYS_ADMIN.
pub fn leave_network() -> io::Result<()> {
    // SAFETY: these flags change neither memory nor descriptors; the threads that exist stay where they are.
    unsafe { unshare_unsafe(UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWNET) }
}

/// Moves the calling thread, and the threads that it starts later, into a new mount namespace from which
/// no mount propagates to the rest of the machine. Unmounts there propagate here, so that a run keeps no
/// disk busy. Needs CAP_SYS_ADMIN.
pub fn enter_private_mounts() -> io::Result<()> {
    // SAFETY: CLONE_NEWNS changes what paths mean to this thread and its children, not memory or
    // descriptors that other threads rely on; it is called before any other thread is started.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
}
