//! Loads a slot's kernel for a jump, and explains why a kernel may refuse that.

use crate::sys::kexec;
use crate::words::units::Bytes;
use rustix::io::Errno;
use std::ffi::CString;
use std::fmt;
use std::fs::{self, File};

/// Reason why a jump by kexec is not possible; the machine goes on as before.
#[derive(Debug)]
pub struct Refused {
    why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// Loads kernel, initramfs and command line (kexec_file_load(2)); starts nothing.
pub fn load(kernel: &File, initramfs: &File, cmdline: &str) -> Result<(), Refused> {
    let line = CString::new(cmdline).map_err(|_| Refused { why: "the command line contains a NUL byte".to_owned() })?;
    kexec::load(kernel, initramfs, &line).map_err(|errno| Refused { why: why(errno) })
}

/// Refuses kernel and initramfs of `bytes` in total if memory is too short for them: the kernel keeps one
/// copy when it is loaded and makes a second one at the jump (kernel/kexec_core.c).
pub fn refuse_if_too_large(bytes: u64) -> Result<(), Refused> {
    match available(&fs::read_to_string("/proc/meminfo").unwrap_or_default()) {
        Some(free) if free < bytes.saturating_mul(2) => Err(Refused {
            why: format!(
                "kernel and initramfs have {}; loading them takes twice that, but only {} of memory is available",
                Bytes(bytes),
                Bytes(free)
            ),
        }),
        _ => Ok(()),
    }
}

/// Reads MemAvailable from the text of proc_meminfo(5), in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Refuses to prepare a jump where kexec is switched off for good.
pub fn refuse_if_disabled() -> Result<(), Refused> {
    if is_set("/proc/sys/kernel/kexec_load_disabled") { Err(Refused { why: why(Errno::PERM) }) } else { Ok(()) }
}

/// Returns whether a kernel is loaded, as /sys/kernel/kexec_loaded says.
pub fn is_loaded() -> bool {
    fs::read_to_string("/sys/kernel/kexec_loaded").is_ok_and(|text| text.trim() == "1")
}

/// Unloads the kernel that was loaded for kexec. A failure is reported on stderr only.
pub fn unload() {
    if let Err(errno) = kexec::unload() {
        crate::stderr!("flipslot: unloading the kernel that was loaded for kexec: {errno}");
    }
}

/// Explains an error of kexec_file_load(2) in a sentence.
fn why(errno: Errno) -> String {
    match errno {
        Errno::NOSYS => "this kernel was built without kexec_file_load (CONFIG_KEXEC_FILE)".to_owned(),
        Errno::PERM if is_set("/proc/sys/kernel/kexec_load_disabled") => {
            "kexec is switched off until the next boot (kernel.kexec_load_disabled=1)".to_owned()
        }
        Errno::PERM => match lockdown() {
            Some(mode) => format!("kernel lockdown ({mode}) forbids kexec of this kernel"),
            None => "kexec is not permitted: CAP_SYS_BOOT is missing, or a security module forbids it".to_owned(),
        },
        Errno::BUSY => "another process is loading a kernel for kexec, or a crash kernel is in the way".to_owned(),
        Errno::NOEXEC => "the running kernel does not recognize the slot's kernel as one that it can start".to_owned(),
        Errno::KEYREJECTED | Errno::NOKEY | Errno::BADMSG | Errno::NODATA => {
            format!("the running kernel requires a signature on the slot's kernel that it can verify ({errno})")
        }
        Errno::NOMEM | Errno::ADDRNOTAVAIL => format!("there is no room in memory for the slot's kernel ({errno})"),
        other => format!("kexec_file_load: {other}"),
    }
}

fn is_set(switch: &str) -> bool {
    fs::read_to_string(switch).is_ok_and(|text| text.trim() != "0")
}

/// Returns the lockdown mode that is on (kernel_lockdown(7)): the one in brackets, if it is not "none".
fn lockdown() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let mode = text.split(['[', ']']).nth(1)?.to_owned();
    (mode != "none").then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_that_is_left_is_read() {
        assert_eq!(available("MemTotal:  100 kB\nMemAvailable:   12345 kB\n"), Some(12345 * 1024));
        assert!(refuse_if_too_large(u64::MAX / 4).is_err());
        assert!(refuse_if_too_large(1).is_ok());
    }

    #[test]
    fn every_refusal_has_a_sentence() {
        for errno in [Errno::NOSYS, Errno::PERM, Errno::BUSY, Errno::NOEXEC, Errno::KEYREJECTED, Errno::NOMEM] {
            assert!(why(errno).len() > 30, "{errno}");
        }
    }
}
