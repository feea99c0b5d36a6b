//! `flipslot rollback`: goes back to the slot that was proven before, in one command.

use crate::boot::ledger::{Confirm, DEADLINE};
use crate::cli::DryRunArgs;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::open::Disk;
use crate::error::{Result, refused};
use crate::jump::ready::Ready;
use crate::jump::route::{Plan, Way};
use crate::jump::{leftovers, route as leap};
use crate::mount::scratch::Scratch;
use crate::output::preview::{STATE_AND_LEDGER, Would};
use crate::output::print::say_line;

/// Goes back to the slot that was proven before. The disk is set to it before the jump: whatever happens
/// then, that slot boots.
pub fn run(args: &DryRunArgs) -> Result<()> {
    let disk = Disk::open(None, if args.dry_run { Access::Look } else { Access::Change })?;
    let running = disk.running()?;
    let scratch = Scratch::enter()?;
    if !args.dry_run {
        leftovers::remove(&disk)?;
    }
    let state = disk.state()?.rolled_back(running).ok_or_else(|| {
        refused(
            format!("slot {running} is proven, and no slot that was proven before it still holds what it held"),
            "choose a slot: flipslot status, flipslot switch --slot b",
        )
    })?;
    let ready = Ready::check(&scratch, &disk, state.proven, None)?;
    let back = format!("back from slot {running} to slot {} ({})", state.proven, ready.record.entry.title);
    if args.dry_run {
        let would = vec![format!("would go {back}")];
        return Would::new("rollback", &disk, &STATE_AND_LEDGER, would).print(args.json);
    }
    disk.mend()?;
    crate::tell!("flipslot: going {back}");
    let plan = Plan { way: Way::Auto, confirm: Confirm::Auto, deadline: DEADLINE, by_kexec: state, by_firmware: state };
    let by = leap::go(&scratch, &disk, ready, &plan, |_| {})?;
    say_line(&format!("services stop now, then slot {} starts by {by}", state.proven))
}
