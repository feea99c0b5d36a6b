//! Words on the kernel command line that make a boot a trial, and by which the running system recognises it.

use crate::boot::ledger::Confirm;
use crate::error::Result;
use crate::words::kernel_line::{BOOT_KEY, DEADLINE, DEADLINE_KEY, PROVEN, seconds};
use anyhow::Context;
use std::{fmt, fs};

/// Words with which a boot that fails resets the machine, which leads back to the proven slot, instead of
/// waiting for someone at the console:
/// - a kernel panic resets after 10 s (kernel: admin-guide/kernel-parameters.rst);
/// - an initramfs that finds no root resets instead of asking for a password (dracut.cmdline(7));
/// - a crash of systemd resets (systemd(1)).
pub const WORDS: [&str; 4] = ["panic=10", "rd.emergency=reboot", "rd.shell=0", "systemd.crash_reboot"];

/// Key of the word for the means of confirming a trial.
pub const CONFIRM_KEY: &str = "flipslot.confirm=";

/// Returns the unique id of this boot (proc_sys_kernel(5), random/boot_id).
pub fn boot_id() -> Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("reading this boot's id")?;
    Ok(text.trim().to_owned())
}

/// Means by which the running kernel was started, from `flipslot.boot=` on its command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BootedBy {
    /// `flipslot switch`, without the firmware.
    Kexec,
    /// GRUB, which tried a slot other than the proven one.
    Firmware,
    /// GRUB, which booted the proven slot.
    Proven,
}

/// Means of confirming a trial, and its time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Terms {
    /// Means of confirmation.
    pub confirm: Confirm,
    /// Seconds after the kernel's start at which an unconfirmed trial ends.
    pub deadline: u64,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { confirm: Confirm::Auto, deadline: DEADLINE }
    }
}

impl Terms {
    /// Reads the terms that a switch by kexec passes on the command line. A switch by firmware cannot pass them, and
    /// writes them into the state block instead.
    pub fn of_cmdline(cmdline: &str) -> Option<Terms> {
        let deadline = seconds(value_of(cmdline, DEADLINE_KEY)?)?;
        Some(Terms { confirm: confirm_called(value_of(cmdline, CONFIRM_KEY)?)?, deadline })
    }

    /// Reads the terms in a state block. `None` where neither of them stands, as in one that 0.1 wrote. What cannot be
    /// read was written for a trial, and none that nobody confirms may become proven.
    pub fn of_block(confirm: Option<&str>, deadline: Option<&str>) -> Option<Terms> {
        let read = confirm.and_then(confirm_called).zip(deadline.and_then(seconds));
        match (read, confirm.or(deadline)) {
            (Some((confirm, deadline)), _) => Some(Terms { confirm, deadline }),
            (None, Some(_)) => Some(Terms { confirm: Confirm::Manual, ..Terms::default() }),
            (None, None) => None,
        }
    }
}

fn confirm_called(name: &str) -> Option<Confirm> {
    [Confirm::Auto, Confirm::Manual].into_iter().find(|confirm| confirm.to_string() == name)
}

fn value_of<'c>(cmdline: &'c str, key: &str) -> Option<&'c str> {
    cmdline.split_whitespace().rev().find_map(|word| word.strip_prefix(key))
}

impl BootedBy {
    /// Reads the means from a kernel command line; `None` if flipslot did not make that.
    pub fn of(cmdline: &str) -> Option<BootedBy> {
        let value = value_of(cmdline, BOOT_KEY)?;
        [BootedBy::Kexec, BootedBy::Firmware, BootedBy::Proven].into_iter().find(|by| by.to_string() == value)
    }

    /// Returns the words to add to the command line of a kernel that is started by this means.
    pub fn words(self) -> String {
        let how = format!("{BOOT_KEY}{self}");
        if self == BootedBy::Proven { how } else { format!("{} {how}", WORDS.join(" ")) }
    }

    /// Returns true if a boot by this means is a trial, which must be confirmed.
    pub fn is_trial(self) -> bool {
        self != BootedBy::Proven
    }
}

impl fmt::Display for BootedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BootedBy::Kexec => "kexec",
            BootedBy::Firmware => "firmware",
            BootedBy::Proven => PROVEN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_says_how_it_was_started() {
        for by in [BootedBy::Kexec, BootedBy::Firmware, BootedBy::Proven] {
            assert_eq!(BootedBy::of(&format!("root=x {} \n", by.words())), Some(by));
        }
        let manual = |deadline| Some(Terms { confirm: Confirm::Manual, deadline });
        assert_eq!(Terms::of_cmdline("a flipslot.deadline=90 flipslot.confirm=manual"), manual(90));
        assert_eq!(Terms::of_cmdline("a flipslot.confirm=manual"), None);
        assert_eq!(BootedBy::of("root=x quiet"), None);
        assert_eq!(Terms::of_block(Some("manual"), Some("90")), manual(90));
        assert_eq!(Terms::of_block(Some("auto"), Some("90")), Some(Terms { confirm: Confirm::Auto, deadline: 90 }));
        assert_eq!(Terms::of_block(None, None), None);
        for odd in [
            (Some("aut"), Some("90")),
            (Some("auto"), None),
            (None, Some("90")),
            (Some("auto"), Some("9999999999999999999")),
        ] {
            assert_eq!(Terms::of_block(odd.0, odd.1), manual(600), "{odd:?}");
        }
        assert!(BootedBy::Kexec.words().starts_with("panic=10 "));
        assert_eq!(BootedBy::Proven.words(), "flipslot.boot=proven");
    }
}
