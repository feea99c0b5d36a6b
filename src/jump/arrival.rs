//! Records the end of a jump: what the system that came up notes in the ledger.

use crate::boot::ledger::{Boot, By, Ledger, Moment};
use crate::boot::trial::{BootedBy, Terms, boot_id};
use crate::disk::installed::open::{Disk, booted_by, cmdline};
use crate::error::Result;
use crate::tool::Tool;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Path of a marker that exists once this boot is confirmed; `/run` is in memory, and ends with the boot.
pub const CONFIRMED: &str = "/run/flipslot.confirmed";

/// Returns the time since the kernel started, including time asleep (clock_gettime(2), CLOCK_BOOTTIME).
pub fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Changes the running boot's entry in the ledger, and returns the entry.
pub fn note(disk: &Disk, change: impl FnOnce(&mut Boot)) -> Result<Boot> {
    let mut ledger = disk.files.ledger()?;
    let boot = find(disk, &mut ledger)?;
    change(boot);
    let noted = boot.clone();
    disk.files.write_ledger(&ledger)?;
    Ok(noted)
}

/// Returns the running boot's entry in the ledger; writes nothing.
pub fn look(disk: &Disk) -> Result<Boot> {
    let mut ledger = disk.files.ledger()?;
    find(disk, &mut ledger).cloned()
}

fn find<'l>(disk: &Disk, ledger: &'l mut Ledger) -> Result<&'l mut Boot> {
    let by = match booted_by() {
        Some(BootedBy::Kexec) => By::Kexec,
        _ => By::Firmware,
    };
    let started = Moment(Moment::now().0.saturating_sub(u64::try_from(uptime().as_millis()).unwrap_or(0)));
    let boot_id = boot_id()?;
    let slot = disk.running()?;
    let boot = ledger.arrived(slot, by, &boot_id, started);
    // The ledger is not enough: it finds its note by the clock, and may be lost.
    let terms = match by {
        By::Kexec => Terms::of_cmdline(&cmdline()),
        By::Firmware => disk.state().ok().and_then(|state| state.terms_of(slot)),
    };
    if let Some(Terms { confirm, deadline }) = terms {
        (boot.confirm, boot.deadline) = (confirm, deadline);
    }
    if boot.userspace.is_none() {
        boot.userspace = userspace().map(|after| Moment(started.0 + after));
    }
    Ok(boot)
}

/// Returns the milliseconds from the start of the kernel to that of systemd in the slot
/// (org.freedesktop.systemd1(5), UserspaceTimestampMonotonic in microseconds).
fn userspace() -> Option<u64> {
    let printed = Tool::new("systemctl")
        .args(["show", "--property=UserspaceTimestampMonotonic", "--value"])
        .deadline(Duration::from_secs(10))
        .run()
        .ok()?;
    printed.stdout.trim().parse::<u64>().ok().filter(|micros| *micros > 0).map(|micros| micros / 1000)
}
