//! The system calls that unpacking needs; all others are refused (seccomp(2)).

use crate::chamber::filter::{Call, apply_absent, apply_allowed};
use crate::error::Result;
use libc::c_long;

/// Calls of the program itself and of its libraries.
const ALLOWED: [c_long; 81] = [
    // Streams and descriptors.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_poll,
    // Files of the slot.
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_fstat,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_readlink,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    // Memory and threads.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_arch_prctl,
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
    libc::SYS_restart_syscall,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Answered by the other filter.
    libc::SYS_clone3,
];

/// The call that makes a thread, with the flag without which it would make a process.
const THREADS: Call = Call { call: libc::SYS_clone, with: &[libc::CLONE_THREAD] };

/// Refuses all other calls of this thread, and of those that it starts. Needs no_new_privs.
pub fn apply() -> Result<()> {
    // Its flags cannot be looked at; libraries use clone(2) then.
    apply_absent(&[libc::SYS_clone3])?;
    apply_allowed(&ALLOWED, &[THREADS], &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, mkdirat};
    use rustix::io::Errno;
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    use rustix::net::{AddressFamily, SocketType, socket};
    use rustix::thread::set_no_new_privs;
    use std::fs;
    use std::thread;

    #[test]
    #[allow(clippy::disallowed_methods)] // it must not be possible to start a program
    fn files_and_threads_can_be_made_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_owned();
        let filtered = thread::spawn(move || {
            set_no_new_privs(true).unwrap();
            apply().unwrap();
            fs::write(place.join("file"), "text").unwrap();
            mkdirat(CWD, place.join("directory"), Mode::RWXU).unwrap();
            assert_eq!(thread::spawn(|| 7).join().unwrap(), 7);
            let refused = [
                socket(AddressFamily::INET, SocketType::STREAM, None).err(),
                socket(AddressFamily::UNIX, SocketType::STREAM, None).err(),
                mount(c"none", &place, c"tmpfs", MountFlags::empty(), c"").err(),
                unmount("/proc", UnmountFlags::DETACH).err(),
                rustix::process::chroot(&place).err(),
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::CONT).err(),
            ];
            (refused, std::process::Command::new("/bin/true").spawn().is_err())
        });
        let (refused, no_program) = filtered.join().unwrap();
        assert!(refused.iter().all(|error| *error == Some(Errno::PERM)), "{refused:?}");
        assert!(no_program);
    }
}
