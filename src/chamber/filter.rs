//! Refuses system calls that reach past namespaces and capabilities (seccomp(2)). Nothing is killed for trying.

use crate::error::Result;
use anyhow::Context;
use libc::{c_int, c_long};
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;

/// Calls that are refused whatever their arguments are:
/// - keyrings, which all of root's processes share;
/// - modules, other kernels, programs in the kernel, its counters;
/// - the memory of other processes, page faults handled elsewhere, files by handle;
/// - other processes' namespaces.
const REFUSED: [c_long; 18] = [
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_userfaultfd,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_setns,
    libc::SYS_pidfd_getfd,
];

/// Calls that are refused as if this kernel did not have them: io_uring, whose operations no filter sees, and
/// clone3(2), whose flags none sees; libraries use clone(2) then.
const ABSENT: [c_long; 4] =
    [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register, libc::SYS_clone3];

/// Calls that are refused with this value of their first argument.
const REFUSED_FOR: [(c_long, c_int); 4] = [
    // Not all of these are confined to a network namespace; packets are the business of the machine.
    (libc::SYS_socket, libc::AF_VSOCK),
    (libc::SYS_socket, libc::AF_ALG),
    (libc::SYS_socket, libc::AF_PACKET),
    // With it, a process would outlive the command.
    (libc::SYS_prctl, libc::PR_SET_PDEATHSIG),
];

/// Calls that are refused with this flag in their first argument: a new user namespace has all capabilities.
const REFUSED_WITH: [(c_long, c_int); 2] =
    [(libc::SYS_clone, libc::CLONE_NEWUSER), (libc::SYS_unshare, libc::CLONE_NEWUSER)];

/// Set in the number of a call that a program of the x32 ABI makes (kernel: arch/x86/include/uapi/asm/unistd.h).
const X32: c_long = 0x4000_0000;
/// Numbers that the x32 ABI has for ptrace, kexec_load, process_vm_readv and process_vm_writev (kernel:
/// arch/x86/entry/syscalls/syscall_64.tbl).
const REFUSED_OF_X32: [c_long; 4] = [521, 528, 539, 540];
/// The end of a filter's check of the architecture, as seccompiler generates it: return SECCOMP_RET_KILL_PROCESS.
const OTHER_ARCHITECTURE: usize = 2;

/// Applies both filters to this thread and what it becomes. Needs no_new_privs.
pub fn apply() -> Result<()> {
    let plain = |call: &c_long| (*call, Vec::new());
    let mut refused: BTreeMap<c_long, Vec<SeccompRule>> = REFUSED.iter().chain(&REFUSED_OF_X32).map(plain).collect();
    for (call, value) in REFUSED_FOR {
        refused.entry(call).or_default().push(rule(SeccompCmpOp::Eq, value)?);
    }
    for (call, flag) in REFUSED_WITH {
        refused.entry(call).or_default().push(rule(SeccompCmpOp::MaskedEq(mask(flag)), flag)?);
    }
    apply_filter(&compiled(refused, libc::EPERM)?).context("refusing system calls")?;
    apply_absent(&ABSENT)
}

/// Refuses calls of this thread, and of what it becomes, as if this kernel did not have them. Needs no_new_privs.
pub fn apply_absent(calls: &[c_long]) -> Result<()> {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    apply_filter(&compiled(rules, libc::ENOSYS)?).context("refusing system calls")
}

/// A call that is allowed only with certain values in its first argument.
pub struct Call<'c> {
    /// Number of the call.
    pub call: c_long,
    /// Values, of which one is enough.
    pub with: &'c [c_int],
}

/// Refuses all calls of this thread, and of what it becomes, but `calls`; those of `flagged` with all bits of one of
/// their values; and those of `valued` with just one of theirs. Needs no_new_privs.
pub fn apply_allowed(calls: &[c_long], flagged: &[Call], valued: &[Call]) -> Result<()> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = calls.iter().map(|call| (*call, Vec::new())).collect();
    for Call { call, with } in flagged {
        let of_flags = with.iter().map(|flags| rule(SeccompCmpOp::MaskedEq(mask(*flags)), *flags));
        rules.insert(*call, of_flags.collect::<Result<_>>()?);
    }
    for Call { call, with } in valued {
        rules.insert(*call, with.iter().map(|value| rule(SeccompCmpOp::Eq, *value)).collect::<Result<_>>()?);
    }
    apply_filter(&program(rules, answer(libc::EPERM), SeccompAction::Allow)?).context("refusing system calls")
}

fn rule(operator: SeccompCmpOp, value: c_int) -> Result<SeccompRule> {
    let condition = SeccompCondition::new(0, Dword, operator, mask(value)).context("comparing an argument")?;
    SeccompRule::new(vec![condition]).context("comparing an argument")
}

fn mask(value: c_int) -> u64 {
    u64::from(value.cast_unsigned())
}

/// Compiles a filter that answers `rules` with `errno`, also under the numbers of x32.
fn compiled(rules: BTreeMap<c_long, Vec<SeccompRule>>, errno: c_int) -> Result<BpfProgram> {
    let both = rules.into_iter().flat_map(|(call, rules)| [(call, rules.clone()), (call | X32, rules)]).collect();
    program(both, SeccompAction::Allow, answer(errno))
}

fn answer(errno: c_int) -> SeccompAction {
    SeccompAction::Errno(errno.cast_unsigned())
}

/// Compiles a filter that treats what `rules` match as `matched`, all else as `otherwise`, and everything of another
/// architecture as absent: 32-bit programs have numbers of their own for the same calls.
fn program(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram> {
    let filter = SeccompFilter::new(rules, otherwise, matched, TargetArch::x86_64)
        .context("compiling a filter of system calls")?;
    let mut program: BpfProgram = filter.try_into().context("compiling a filter of system calls")?;
    let other = program.get_mut(OTHER_ARCHITECTURE).filter(|step| step.k == libc::SECCOMP_RET_KILL_PROCESS);
    other.context("a filter of system calls does not begin as expected")?.k = answer(libc::ENOSYS).into();
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::thread::set_no_new_privs;
    use std::io::Error;
    use std::thread;

    /// Returns the error of a call whose other arguments make no sense.
    #[allow(unsafe_code)]
    fn error_of(call: c_long, first: c_int) -> Option<c_int> {
        // SAFETY: no pointer is valid, so that nothing is read or written.
        let returned = unsafe { libc::syscall(call, c_long::from(first), -1, -1, -1, -1, -1) };
        (returned == -1).then(|| Error::last_os_error().raw_os_error()).flatten()
    }

    /// Every call of the lists, with a first argument for which it is refused, and the error.
    fn calls() -> Vec<(c_long, c_int, c_int)> {
        let refused = REFUSED.map(|call| (call, -1, libc::EPERM));
        let absent = ABSENT.map(|call| (call, -1, libc::ENOSYS));
        let values = [REFUSED_FOR.as_slice(), &REFUSED_WITH].concat();
        let values = values.into_iter().map(|(call, value)| (call, value, libc::EPERM));
        refused.into_iter().chain(absent).chain(values).collect()
    }

    #[test]
    fn every_listed_call_is_refused_and_others_are_not() {
        let filtered = thread::spawn(|| {
            set_no_new_privs(true).unwrap();
            apply().unwrap();
            let refused = calls().into_iter().map(|(call, first, _)| error_of(call, first)).collect::<Vec<_>>();
            // A thread is made by clone(2) with flags that are not refused.
            (refused, thread::spawn(|| ()).join().is_ok(), error_of(libc::SYS_socket, libc::AF_INET))
        });
        let (refused, has_threads, socket) = filtered.join().unwrap();
        for ((call, first, errno), seen) in calls().into_iter().zip(refused) {
            assert_eq!(seen, Some(errno), "call {call} with {first}");
        }
        assert!(has_threads);
        assert_ne!(socket, Some(libc::EPERM));
    }
}
