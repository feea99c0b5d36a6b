//! A mount namespace of our own: what is mounted in it goes when the process goes.
#![allow(unsafe_code)]

use rustix::io;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves the calling thread, and the threads that it starts later, into a new mount namespace
/// from which no mount propagates to the rest of the machine; what is unmounted there goes here,
/// too, so that a run keeps nobody's disk busy. Needs CAP_SYS_ADMIN.
pub fn enter_private_mounts() -> io::Result<()> {
    // SAFETY: CLONE_NEWNS changes what paths mean to this thread and its children, not memory or
    // descriptors that other threads rely on; it is called before any other thread is started.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
}
