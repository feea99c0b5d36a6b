//! The kernel command line of a slot.

use crate::boot::ledger::Confirm;
use crate::boot::root_on::RootOn;
use crate::boot::trial::{BootedBy, CONFIRM_KEY};
use crate::error::{Result, usage};
use crate::words::kernel_line::{AUTH_KEY, DEADLINE_KEY, KEYS_KEY, REALMS_KEY, VERITY_KEY};
use crate::words::slot::Slot;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Words of a kernel command line, in order. No word contains a space, a quote, a backslash or a control
/// byte, so that GRUB, kexec and the kernel all split the line the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cmdline(Vec<String>);

/// Kernel parameter that keeps a started hardware watchdog running across a kexec: otherwise the kernel stops
/// it there, and nothing resets a machine that hangs in the jump (kernel: watchdog/watchdog-parameters.rst).
const KEEP_WATCHDOG: &str = "watchdog.stop_on_reboot=0";

/// Beginnings of words that flipslot adds.
const OURS: [&str; 12] = [
    VERITY_KEY,
    KEYS_KEY,
    AUTH_KEY,
    REALMS_KEY,
    "root=PARTUUID=",
    "root=flipslot:",
    "rootfstype=",
    "console=",
    "flipslot.slot=",
    "flipslot.format=",
    "flipslot.overlay=data:",
    "flipslot.plain-http=",
];

impl Cmdline {
    /// Makes the command line that boots from the root that `on` says, which is `slot` if it is a slot. The words of `kargs` come last, where
    /// they win. Refuses words that GRUB and the kernel read differently, `--`, and a second `root=`.
    pub fn new(slot: Option<Slot>, on: &RootOn, consoles: &[String], kargs: &str) -> Result<Cmdline> {
        let mut words = on.words();
        words.push(KEEP_WATCHDOG.to_owned());
        if !consoles.is_empty() {
            // The last console= is where init writes (kernel: admin-guide/serial-console.rst).
            words.push("console=tty0".to_owned());
            words.extend(consoles.iter().map(|console| format!("console={}", with_speed(console))));
        }
        words.extend(slot.map(|slot| format!("flipslot.slot={slot}")));
        words.extend(kargs.split_whitespace().map(ToOwned::to_owned));
        if let Some(odd) =
            words.iter().find(|word| !word.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(&byte)))
        {
            let found = format!(
                "'{}' cannot be used on a kernel command line: quotes, backslashes and control bytes mean different things to GRUB and to the kernel",
                odd.escape_debug()
            );
            return Err(usage(found, "write --kargs with plain words: key=value"));
        }
        if words.iter().any(|word| word == "--") {
            // Everything after it goes to init, including the words that make a trial safe.
            return Err(usage("--kargs contains '--', which ends the words for the kernel", "omit '--'"));
        }
        if let Some(root) = kargs.split_whitespace().find(|word| word.starts_with("root=")) {
            return Err(usage(
                format!("--kargs contains '{root}', but each slot's root is its own partition"),
                "omit root=",
            ));
        }
        Ok(Cmdline(words))
    }

    /// Returns the `console=` words, to be used for another slot of the same machine.
    pub fn console_words(&self) -> String {
        self.0.iter().filter(|word| word.starts_with("console=")).map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Returns the user's own words: all but those that flipslot adds, and the consoles.
    pub fn own_words(&self) -> String {
        let is_file = self.0.iter().any(|word| word.starts_with("root=flipslot:"));
        let access = if is_file { "ro" } else { "rw" };
        let ours = |word: &&String| {
            OURS.iter().any(|start| word.starts_with(start)) || [access, KEEP_WATCHDOG].contains(&word.as_str())
        };
        self.0.iter().filter(|word| !ours(word)).map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Returns the line as passed to a kernel by kexec, for a trial of `deadline` seconds that `confirm` ends.
    pub fn by_kexec(&self, deadline: u64, confirm: Confirm) -> String {
        format!("{self} {}", by_kexec(deadline, confirm))
    }

    /// Returns the words, in order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Appends words to the line; at its end they win.
    pub fn with(mut self, words: &[String]) -> Cmdline {
        self.0.extend_from_slice(words);
        self
    }

    /// Returns a copy in which each word was replaced by `renew`, which must not add spaces or quotes.
    pub fn renewed(&self, renew: impl Fn(&str) -> String) -> Cmdline {
        Cmdline(self.0.iter().map(|word| renew(word)).collect())
    }

    /// Returns the length in bytes of the line with the longest words that a trial adds.
    pub fn longest(&self) -> usize {
        self.by_kexec(u64::from(u32::MAX), Confirm::Manual).len()
    }
}

impl fmt::Display for Cmdline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// Returns the words of a kernel that is started by kexec, for a trial of `deadline` seconds that `confirm` ends.
pub fn by_kexec(deadline: u64, confirm: Confirm) -> String {
    format!("{} {DEADLINE_KEY}{deadline} {CONFIRM_KEY}{confirm}", BootedBy::Kexec.words())
}

/// Adds the speed that GRUB uses, 115200, to a serial port that has none.
pub fn with_speed(console: &str) -> String {
    if console.starts_with("ttyS") && !console.contains(',') { format!("{console},115200") } else { console.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::kind::Filesystem;
    use crate::words::partuuid::PartUuid;

    fn on(filesystem: Filesystem) -> RootOn {
        RootOn::Partition { partuuid: PartUuid::NONE, filesystem }
    }

    fn line(consoles: &[&str], kargs: &str) -> Result<String> {
        let consoles: Vec<String> = consoles.iter().map(ToString::to_string).collect();
        Cmdline::new(Slot::at(1), &on(Filesystem::Ext4), &consoles, kargs).map(|line| line.to_string())
    }

    #[test]
    fn the_root_is_the_slots_own_partition_and_the_users_words_come_last() {
        assert_eq!(
            line(&["ttyS0"], "quiet  mitigations=off").unwrap(),
            "root=PARTUUID=00000000-0000-0000-0000-000000000000 rootfstype=ext4 rw watchdog.stop_on_reboot=0 console=tty0 console=ttyS0,115200 flipslot.slot=b quiet mitigations=off"
        );
        let first = Cmdline::new(Slot::at(0), &on(Filesystem::Xfs), &["ttyS0".into()], "quiet").unwrap();
        assert_eq!(first.own_words(), "quiet");
        assert_eq!(first.console_words(), "console=tty0 console=ttyS0,115200");
        assert!(!line(&[], "").unwrap().contains("console"));
        assert!(line(&["ttyS1,9600n8"], "").unwrap().contains("console=ttyS1,9600n8 "));
    }

    #[test]
    fn g10_words_that_grub_and_the_kernel_read_differently_are_refused() {
        for odd in ["quiet -- single", "a='b'", "x=\"y z\"", "a\\b", "root=/dev/sda1", "é"] {
            assert!(line(&[], odd).is_err(), "{odd}");
        }
        assert!(line(&[], "a;b $c {d}").is_ok(), "GRUB's own metacharacters are quoted");
        let long = Cmdline::new(Slot::at(0), &on(Filesystem::Ext4), &[], &"x".repeat(1900)).unwrap();
        assert!(long.to_string().len() < 2047 && long.longest() > 2047, "the words of a trial count too");
    }
}
