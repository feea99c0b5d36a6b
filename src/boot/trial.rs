//! Words on the kernel command line that make a boot a trial, and by which the running system recognises it.

use crate::boot::ledger::Confirm;
use std::fmt;

/// Words with which a boot that fails resets the machine, which leads back to the proven slot, instead of
/// waiting for someone at the console:
/// - a kernel panic resets after 10 s (kernel: admin-guide/kernel-parameters.rst);
/// - an initramfs that finds no root resets instead of asking for a password (dracut.cmdline(7));
/// - a crash of systemd resets (systemd(1)).
pub const WORDS: [&str; 4] = ["panic=10", "rd.emergency=reboot", "rd.shell=0", "systemd.crash_reboot"];

/// Key of the word for the deadline of a trial in seconds.
pub const DEADLINE_KEY: &str = "flipslot.deadline=";
/// Key of the word for the means of confirming a trial.
pub const CONFIRM_KEY: &str = "flipslot.confirm=";
/// Key of the word for the means by which a kernel was started.
const KEY: &str = "flipslot.boot=";

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

/// Reads the terms that a switch by kexec passes on the command line: the deadline in seconds, and the means of
/// confirming the trial. A switch by firmware cannot pass them, and notes them in the ledger instead.
pub fn terms_of(cmdline: &str) -> Option<(u64, Confirm)> {
    let deadline = value_of(cmdline, DEADLINE_KEY)?.parse().ok()?;
    let confirm = [Confirm::Auto, Confirm::Manual];
    let value = value_of(cmdline, CONFIRM_KEY)?;
    Some((deadline, confirm.into_iter().find(|confirm| confirm.to_string() == value)?))
}

fn value_of<'c>(cmdline: &'c str, key: &str) -> Option<&'c str> {
    cmdline.split_whitespace().rev().find_map(|word| word.strip_prefix(key))
}

impl BootedBy {
    /// Reads the means from a kernel command line; `None` if flipslot did not make that.
    pub fn of(cmdline: &str) -> Option<BootedBy> {
        let value = value_of(cmdline, KEY)?;
        [BootedBy::Kexec, BootedBy::Firmware, BootedBy::Proven].into_iter().find(|by| by.to_string() == value)
    }

    /// Returns the words to add to the command line of a kernel that is started by this means.
    pub fn words(self) -> String {
        let how = format!("{KEY}{self}");
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
            BootedBy::Proven => "proven",
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
        assert_eq!(terms_of("a flipslot.deadline=90 flipslot.confirm=manual"), Some((90, Confirm::Manual)));
        assert_eq!(terms_of("a flipslot.confirm=manual"), None);
        assert_eq!(BootedBy::of("root=x quiet"), None);
        assert!(BootedBy::Kexec.words().starts_with("panic=10 "));
        assert_eq!(BootedBy::Proven.words(), "flipslot.boot=proven");
    }
}
