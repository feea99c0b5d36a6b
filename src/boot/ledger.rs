//! The downtime ledger: what each switch and each boot took, from the last service that stopped to
//! the slot that is healthy again.
//!
//! Times are this machine's clock. Across a jump or a reset the clock comes back from the hardware
//! clock, which knows whole seconds: figures are good to about one second.

use crate::error::Result;
use crate::slot::Slot;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Size of the file in bytes, for ever: it is rewritten in place.
pub const SIZE: usize = 16 * 1024;
/// How many boots are remembered.
const KEPT: usize = 24;
/// A jump that was asked for longer ago than this was given up, and a boot is not its end.
const STALE: u64 = 3_600_000;

/// Milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// This moment.
    pub fn now() -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(u64::try_from(since.as_millis()).unwrap_or(0))
    }

    /// Seconds from `earlier` to this.
    #[allow(clippy::cast_precision_loss)] // milliseconds of a boot are far below 2^52
    pub fn seconds_since(self, earlier: Moment) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1000.0
    }
}

/// Who brings a slot up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// kexec.
    Kexec,
    /// The firmware, and GRUB.
    Firmware,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == By::Kexec { "kexec" } else { "firmware" })
    }
}

/// Who confirms a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// The health check.
    Auto,
    /// Someone who runs `flipslot confirm`.
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
    /// The slot it leads to.
    pub to: Slot,
    /// The slot that ran before, where it is known.
    pub from: Option<Slot>,
    /// How.
    pub by: By,
    /// Who confirms it.
    pub confirm: Confirm,
    /// Seconds after the kernel's start at which an unconfirmed trial ends.
    pub deadline: u64,
    /// When `switch` or `rollback` told the services to stop.
    pub asked: Option<Moment>,
    /// When they had stopped, and the jump or the reset came.
    pub down: Option<Moment>,
    /// Which boot of the machine it is (proc_sys_kernel(5), random/boot_id).
    #[serde(default)]
    pub boot_id: Option<String>,
    /// When the new kernel started.
    pub kernel: Option<Moment>,
    /// When its init started.
    pub userspace: Option<Moment>,
    /// When it was healthy: confirmed, or all services up.
    pub healthy: Option<Moment>,
    /// Why it was given up.
    pub failed: Option<String>,
}

/// Seconds that a trial has, where nobody said otherwise.
pub const DEADLINE: u64 = 600;

impl Boot {
    /// A boot of which no more is known yet.
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

    /// Seconds without service: from the stop of the services, or as near to it as is known, to
    /// health.
    pub fn downtime(&self) -> Option<f64> {
        Some(self.healthy?.seconds_since(self.asked.or(self.down)?))
    }

    /// Whether nobody has seen it arrive.
    fn is_on_its_way(&self, now: Moment) -> bool {
        self.kernel.is_none() && self.asked.or(self.down).is_some_and(|left| now.0.saturating_sub(left.0) < STALE)
    }
}

/// The last boots, the newest last.
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
    /// The ledger in a file's bytes. One that cannot be read begins anew: nothing depends on it but
    /// figures, and the deadline of a switch by firmware.
    pub fn parse(bytes: &[u8]) -> Ledger {
        serde_json::from_slice(bytes).ok().filter(|ledger: &Ledger| ledger.version == 1).unwrap_or_default()
    }

    /// The bytes of the file, padded with spaces.
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

    /// Notes a boot that is about to begin.
    pub fn push(&mut self, boot: Boot) {
        self.boots.push(boot);
        self.boots.drain(..self.boots.len().saturating_sub(KEPT));
    }

    /// The boot that has been asked for and has not come up.
    pub fn on_its_way(&mut self, now: Moment) -> Option<&mut Boot> {
        self.boots.last_mut().filter(|boot| boot.is_on_its_way(now))
    }

    /// The boot `boot_id` of the system that runs now, in `slot`, since `kernel`: the one that was on
    /// its way, or one that nobody announced. Such a one is confirmed as that slot was last time.
    pub fn arrived(&mut self, slot: Slot, by: By, (boot_id, kernel): (&str, Moment)) -> &mut Boot {
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

    /// The newest boot that somebody asked for: a switch.
    pub fn last_switch(&self) -> Option<&Boot> {
        self.boots.iter().rev().find(|boot| boot.asked.is_some())
    }

    /// The newest boot by the firmware of which the whole time is known.
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
        let boot = ledger.arrived(slot("b"), By::Kexec, ("x", Moment(1_003_000)));
        boot.healthy = Some(Moment(1_007_100));
        assert_eq!(ledger.last_switch().unwrap().downtime(), Some(7.1));
        assert!(ledger.on_its_way(Moment(1_008_000)).is_none());
        assert_eq!(ledger.arrived(slot("b"), By::Kexec, ("x", Moment(9_003_400))).kernel, Some(Moment(1_003_000)));
        assert_eq!(ledger.boots.len(), 1);
        assert_eq!(Ledger::parse(&ledger.render().unwrap()), ledger);
    }

    #[test]
    fn a_boot_that_ends_elsewhere_is_another_one() {
        let mut ledger = Ledger::default();
        ledger.push(Boot { asked: Some(Moment(1_000_000)), ..Boot::new(slot("b"), By::Kexec) });
        ledger.arrived(slot("a"), By::Firmware, ("y", Moment(1_060_000)));
        assert_eq!(ledger.boots.len(), 2);
        assert_eq!(ledger.last_switch().unwrap().kernel, None);
        assert!(ledger.last_firmware_boot().is_none(), "nobody knows when it began");
    }

    #[test]
    fn a_slot_that_was_confirmed_by_hand_is_confirmed_by_hand_at_the_next_reset_too() {
        let mut ledger = Ledger::default();
        let healthy = Some(Moment(1_000_000));
        ledger.push(Boot { confirm: Confirm::Manual, deadline: 90, healthy, ..Boot::new(slot("b"), By::Kexec) });
        let next = ledger.arrived(slot("b"), By::Firmware, ("y", Moment(9_000_000)));
        assert_eq!((next.confirm, next.deadline), (Confirm::Manual, 90));
        assert_eq!(ledger.arrived(slot("a"), By::Firmware, ("z", Moment(9_000_000))).confirm, Confirm::Auto);
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
