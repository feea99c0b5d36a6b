//! `flipslot note-shutdown`, run by systemd-shutdown(8) as its last step, when no service runs any more.

use crate::boot::ledger::{Boot, By, Moment};
use crate::cli::NoteArgs;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::state_home::StateHome;
use crate::error::Result;

/// Records the time in the ledger: the jump or the reset comes next.
pub fn run(args: &NoteArgs) -> Result<()> {
    let by = match args.verb.as_str() {
        "kexec" => By::Kexec,
        "reboot" => By::Firmware,
        _ => return Ok(()), // the machine stays off, for an unknown time
    };
    // Without a disk, there is no ledger.
    let StateHome::Disk(disk) = StateHome::find(None, Access::Change)? else { return Ok(()) };
    disk.repair_state_block()?;
    let next = disk.state()?.next_boot();
    let mut ledger = disk.files.ledger()?;
    let now = Moment::now();
    match ledger.on_its_way(now).filter(|boot| boot.by == by && boot.down.is_none()) {
        Some(boot) => boot.down = Some(now),
        None if by == By::Firmware => {
            ledger.push(Boot { from: disk.running, down: Some(now), ..Boot::new(next, by) });
        }
        None => return Ok(()), // a kexec that flipslot did not prepare
    }
    disk.files.write_ledger(&ledger)
}
