//! The downtime ledger: how long each switch and each boot took, from the stop of the services to a healthy
//! slot.
//!
//! Times are from this machine's clock. Across a jump or a reset it is restored from the hardware clock, which
//! has a resolution of one second: figures are accurate to about one second.

use crate::error::Result;
use crate::words::kernel_line::DEADLINE;
use crate::words::slot::Slot;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Size of the file in bytes, which never changes: the file is rewritten in place.
pub const SIZE: usize = 16 * 1024;
/// Maximum number of boots in the ledger.
const KEPT: usize = 24;
/// Time in milliseconds after which a requested jump counts as given up; a later boot is not its result.
const STALE: u64 = 3_600_000;

/// A time in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Returns the current time.
    pub fn now() -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(u64::try_from(since.as_millis()).unwrap_or(0))
    }

    /// Returns the seconds from `earlier` to this; 0 if `earlier` is later.
    #[allow(clippy::cast_precision_loss)] // milliseconds of a boot are far below 2^52
    pub fn seconds_since(self, earlier: Moment) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1000.0
    }
}

/// Means of booting a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// A kexec from the running system.
    Kexec,
    /// A reset: the firmware, then GRUB.
    Firmware,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == By::Kexec { "kexec" } else { "firmware" })
    }
}

/// Means of confirming a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// Confirmed by the health check.
    Auto,
    /// Confirmed by a person with `flipslot confirm`.
    Manual,
}

impl fmt::Display for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Confirm::Auto { "auto" } else { "manual" })
    }
}

/// One boot, and what led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Slot that it leads to.
    pub to: Slot,
    /// Slot that ran before, if known.
    pub from: Option<Slot>,
    /// Means of the boot.
    pub by: By,
    /// Means of confirmation, if it is a trial.
    pub confirm: Confirm,
    /// Seconds after the kernel's start at which an unconfirmed trial ends.
    pub deadline: u64,
    /// Time at which `switch` or `rollback` asked the services to stop.
    pub asked: Option<Moment>,
    /// Time at which the services had stopped, just before the jump or the reset.
    pub down: Option<Moment>,
    /// Unique id of the boot (proc_sys_kernel(5), random/boot_id).
    #[serde(default)]
    pub boot_id: Option<String>,
    /// Time at which the new kernel started.
    pub kernel: Option<Moment>,
    /// Time at which the new kernel's init started.
    pub userspace: Option<Moment>,
    /// Time at which the slot was healthy: confirmed, or all services up.
    pub healthy: Option<Moment>,
    /// Reason why the boot was given up.
    pub failed: Option<String>,
}

impl Boot {
    /// Makes a boot of which only the slot and the means are known yet.
    pub fn new(to: Slot, by: By) -> Boot {
        Boot {
            to,
            from: None,
            by,
            confirm: Confirm::Auto,
            deadline: DEADLINE,
            asked: None,
            down: None,
            boot_id: None,
            kernel: None,
            userspace: None,
            healthy: None,
            failed: None,
        }
    }

    /// Returns the seconds without service: from the request to stop the services, or from their stop if only
    /// that is known, until the slot was healthy. `None` if it is not healthy yet, or if neither is known.
    pub fn downtime(&self) -> Option<f64> {
        Some(self.healthy?.seconds_since(self.asked.or(self.down)?))
    }

    /// Returns true if the boot began less than [`STALE`] ago, and its kernel has not been seen.
    fn is_on_its_way(&self, now: Moment) -> bool {
        self.kernel.is_none() && self.asked.or(self.down).is_some_and(|left| now.0.saturating_sub(left.0) < STALE)
    }
}

/// Log of the last boots, the newest last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    version: u32,
    boots: Vec<Boot>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger { version: 1, boots: Vec::new() }
    }
}

impl Ledger {
    /// Reads the ledger in a file's bytes; empty if they cannot be read. Only figures and the deadline of a switch
    /// by firmware depend on it.
    pub fn parse(bytes: &[u8]) -> Ledger {
        serde_json::from_slice(bytes).ok().filter(|ledger: &Ledger| ledger.version == 1).unwrap_or_default()
    }

    /// Returns the bytes of the file, padded with spaces to [`SIZE`]. Drops the oldest boots if they do not fit.
    pub fn render(&self) -> Result<Vec<u8>> {
        let mut newest = self.clone();
        let mut text = serde_json::to_vec(&newest)?;
        while text.len() > SIZE - 1 && !newest.boots.is_empty() {
            newest.boots.remove(0);
            text = serde_json::to_vec(&newest)?;
        }
        text.resize(SIZE - 1, b' ');
        text.push(b'\n');
        Ok(text)
    }

    /// Adds a boot, and drops the oldest ones beyond the maximum.
    pub fn push(&mut self, boot: Boot) {
        self.boots.push(boot);
        self.boots.drain(..self.boots.len().saturating_sub(KEPT));
    }

    /// Returns the boot that was requested and has not come up yet.
    pub fn on_its_way(&mut self, now: Moment) -> Option<&mut Boot> {
        self.boots.last_mut().filter(|boot| boot.is_on_its_way(now))
    }

    /// Notes that `slot` runs, in the boot `boot_id`, since `kernel`. Returns that boot: the requested one, if it is
    /// expected, or a new one, which is confirmed in the same way as the slot's last healthy boot.
    pub fn arrived(&mut self, slot: Slot, by: By, boot_id: &str, kernel: Moment) -> &mut Boot {
        let expected = |boot: &Boot| boot.to == slot && boot.by == by && boot.is_on_its_way(kernel);
        let is_it = |boot: &Boot| boot.boot_id.as_deref() == Some(boot_id) || expected(boot);
        if !self.boots.last().is_some_and(is_it) {
            let like = self.boots.iter().rev().find(|boot| boot.to == slot && boot.healthy.is_some());
            let (confirm, deadline) = like.map_or((Confirm::Auto, DEADLINE), |boot| (boot.confirm, boot.deadline));
            self.push(Boot { confirm, deadline, ..Boot::new(slot, by) });
        }
        let last = self.boots.len() - 1;
        let boot = &mut self.boots[last];
        boot.boot_id.get_or_insert_with(|| boot_id.to_owned());
        boot.kernel.get_or_insert(kernel);
        boot
    }

    /// Returns the newest boot that was requested: the last switch.
    pub fn last_switch(&self) -> Option<&Boot> {
        self.boots.iter().rev().find(|boot| boot.asked.is_some())
    }

    /// Returns the newest boot by the firmware with a known downtime.
    pub fn last_firmware_boot(&self) -> Option<&Boot> {
        self.boots.iter().rev().find(|boot| boot.by == By::Firmware && boot.downtime().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(letter: &str) -> Slot {
        letter.parse().unwrap()
    }

    #[test]
    fn a_switch_is_followed_from_the_stop_to_health() {
        let mut ledger = Ledger::default();
        let asked = Some(Moment(1_000_000));
        ledger.push(Boot { asked, ..Boot::new(slot("b"), By::Kexec) });
        ledger.on_its_way(Moment(1_002_000)).unwrap().down = Some(Moment(1_002_000));
        let boot = ledger.arrived(slot("b"), By::Kexec, "x", Moment(1_003_000));
        boot.healthy = Some(Moment(1_007_100));
        assert_eq!(ledger.last_switch().unwrap().downtime(), Some(7.1));
        assert!(ledger.on_its_way(Moment(1_008_000)).is_none());
        assert_eq!(ledger.arrived(slot("b"), By::Kexec, "x", Moment(9_003_400)).kernel, Some(Moment(1_003_000)));
        assert_eq!(ledger.boots.len(), 1);
        assert_eq!(Ledger::parse(&ledger.render().unwrap()), ledger);
    }

    #[test]
    fn a_boot_that_ends_elsewhere_is_another_one() {
        let mut ledger = Ledger::default();
        ledger.push(Boot { asked: Some(Moment(1_000_000)), ..Boot::new(slot("b"), By::Kexec) });
        ledger.arrived(slot("a"), By::Firmware, "y", Moment(1_060_000));
        assert_eq!(ledger.boots.len(), 2);
        assert_eq!(ledger.last_switch().unwrap().kernel, None);
        assert!(ledger.last_firmware_boot().is_none(), "its beginning is not known");
    }

    #[test]
    fn a_slot_that_was_confirmed_by_hand_is_confirmed_by_hand_at_the_next_reset_too() {
        let mut ledger = Ledger::default();
        let healthy = Some(Moment(1_000_000));
        ledger.push(Boot { confirm: Confirm::Manual, deadline: 90, healthy, ..Boot::new(slot("b"), By::Kexec) });
        let next = ledger.arrived(slot("b"), By::Firmware, "y", Moment(9_000_000));
        assert_eq!((next.confirm, next.deadline), (Confirm::Manual, 90));
        assert_eq!(ledger.arrived(slot("a"), By::Firmware, "z", Moment(9_000_000)).confirm, Confirm::Auto);
    }

    #[test]
    fn the_file_keeps_its_size_and_what_is_damaged_begins_anew() {
        let mut ledger = Ledger::default();
        for _ in 0..100 {
            ledger.push(Boot { failed: Some("x".repeat(2000)), ..Boot::new(slot("b"), By::Kexec) });
        }
        assert_eq!(ledger.render().unwrap().len(), SIZE);
        for bytes in [&b""[..], b"{", &[0; SIZE]] {
            assert_eq!(Ledger::parse(bytes), Ledger::default());
        }
    }
}
