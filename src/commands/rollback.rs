//! `flipslot rollback`: goes back to the slot that was proven before, in one command.

use crate::boot::ledger::Confirm;
use crate::cli::DryRunArgs;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::state_home::StateHome;
use crate::error::{Result, refused};
use crate::jump::ready::Ready;
use crate::jump::route::{Route, Way};
use crate::jump::{leftovers, route};
use crate::mount::scratch::Scratch;
use crate::output::document::Format;
use crate::output::preview::{Preview, STATE_AND_LEDGER};
use crate::output::print::{print, say_line};
use crate::words::kernel_line::DEADLINE;

/// Goes back to the slot that was proven before. The disk is set to it before the jump: whatever happens
/// then, that slot boots.
pub fn run(args: &DryRunArgs) -> Result<()> {
    let disk = StateHome::find(None, Access::of(args.dry_run))?.disk()?;
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
    let back = format!("back from slot {running} to slot {} ({})", state.proven, ready.record.entry().title);
    if args.dry_run {
        let would = vec![format!("would go {back}")];
        return print(&Preview::new("rollback", &disk, &STATE_AND_LEDGER, would), Format::of(args.json));
    }
    disk.repair_state_block()?;
    crate::stderr!("flipslot: going {back}");
    let plan =
        Route { way: Way::Auto, confirm: Confirm::Auto, deadline: DEADLINE, by_kexec: state, by_firmware: state };
    let by = route::go(&scratch, &disk, ready, &plan, |_| {})?;
    say_line(&format!("services stop now, then slot {} starts by {by}", state.proven))
}
