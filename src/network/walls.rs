//! The walls of a process that reads what strangers send: a root with the files that it needs and no others, no
//! capabilities, another user, and few system calls.

use crate::chamber::filter::{Call, apply_absent, apply_allowed};
use crate::chamber::privileges::keep_only;
use crate::error::Result;
use crate::sys::descriptors::close_all_but_standard;
use crate::sys::namespace::enter_private_mounts;
use anyhow::Context;
use libc::c_long;
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};
use rustix::process::{Gid, Resource, Rlimit, Uid, chdir, chroot, setrlimit, setsid};
use rustix::thread::{CapabilitySet, set_thread_gid, set_thread_groups, set_thread_uid};
use std::fs;
use std::path::Path;

/// The user and group that own nothing: nobody (kernel: `CONFIG_DEFAULT_OVERFLOWUID`).
const NOBODY: u32 = 65534;
/// Memory in bytes: TLS, a runtime with its threads, and buffers.
const MEMORY: u64 = 256 << 20;
/// Descriptors: connections and what waits for them.
const OPEN_FILES: u64 = 64;

/// Random bytes, for libraries that do not use getrandom(2).
const RANDOM: [&str; 2] = ["dev/random", "dev/urandom"];

/// Reach of a process in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Use the socket that it was given.
    Given,
    /// Connect to servers.
    Servers,
    /// Connect to servers, and fill the file that it was given, up to this size in bytes.
    Into(u64),
}

/// Calls of the program itself and of its libraries.
const ALLOWED: [c_long; 44] = [
    // Streams and descriptors.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_poll,
    libc::SYS_ppoll,
    // Files of its root.
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    // The socket.
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    // Memory and threads.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Answered by the other filter.
    libc::SYS_clone3,
];

/// Calls for connections to servers.
const OF_SERVERS: [c_long; 17] = [
    libc::SYS_readlink,
    libc::SYS_getcwd,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    // Of a socket alone: whether it waits (std: FIONBIO). Without capabilities it changes nothing else.
    libc::SYS_ioctl,
];

/// Puts up all walls around this process, which has one thread. `hall` is an empty folder, and becomes its root; it finds
/// `files` there, which are named by their paths.
pub fn put_up(hall: &Path, files: &[(&str, &[u8])], reach: Reach) -> Result<()> {
    close_all_but_standard().context("closing inherited descriptors")?;
    let _ = setsid(); // whoever starts it may have done so
    enter_private_mounts().context("leaving this machine's mounts")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"flipslot", hall, c"tmpfs", flags, c"mode=0755,size=4m").context("mounting a root")?;
    for (path, bytes) in files {
        let path = hall.join(path);
        let folder = path.parent().unwrap_or(hall);
        fs::create_dir_all(folder).and_then(|()| fs::write(&path, bytes)).context("writing into it")?;
    }
    for device in RANDOM {
        let place = hall.join(device);
        fs::create_dir_all(hall.join("dev")).and_then(|()| fs::write(&place, "")).context("making files in it")?;
        mount_bind(format!("/{device}"), &place).with_context(|| format!("mounting /{device}"))?;
    }
    mount_remount(hall, flags | MountFlags::RDONLY, c"").context("making the root read-only")?;
    chroot(hall).and_then(|()| chdir("/")).context("entering the root")?;
    let written = if let Reach::Into(size) = reach { size } else { 0 };
    for (resource, limit) in
        [(Resource::Data, MEMORY), (Resource::Nofile, OPEN_FILES), (Resource::Fsize, written), (Resource::Core, 0)]
    {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
            .with_context(|| format!("limiting {resource:?} to {limit}"))?;
    }
    keep_only(CapabilitySet::SETUID | CapabilitySet::SETGID)?;
    become_nobody().context("becoming another user")?;
    keep_only(CapabilitySet::empty())?;
    // Its flags cannot be looked at; libraries use clone(2) then.
    apply_absent(&[libc::SYS_clone3])?;
    let thread = Call { call: libc::SYS_clone, with: &[libc::CLONE_THREAD] };
    let internet = Call { call: libc::SYS_socket, with: &[libc::AF_INET, libc::AF_INET6] };
    match reach {
        Reach::Given => apply_allowed(&ALLOWED, &[thread], &[]),
        Reach::Servers | Reach::Into(_) => apply_allowed(&[&ALLOWED[..], &OF_SERVERS].concat(), &[thread], &[internet]),
    }
}

/// Becomes the user who owns nothing, in this thread and those that it starts.
pub fn become_nobody() -> rustix::io::Result<()> {
    set_thread_groups(&[])?;
    set_thread_gid(Gid::from_raw(NOBODY))?;
    set_thread_uid(Uid::from_raw(NOBODY))
}
