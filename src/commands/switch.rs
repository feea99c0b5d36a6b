//! `flipslot switch`: jumps from the running slot into another one, on trial.

use crate::boot::ledger::By;
use crate::boot::trial::Terms;
use crate::check::policy::Policy;
use crate::cli::SwitchArgs;
use crate::commands::switch_ram;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::state_home::StateHome;
use crate::error::{Result, usage};
use crate::jump::ready::Ready;
use crate::jump::route::{Route, Way};
use crate::jump::{leftovers, route};
use crate::mount::scratch::Scratch;
use crate::output::document::Format;
use crate::output::preview::{Preview, STATE_AND_LEDGER};
use crate::output::print::{print, say_line};
use crate::words::slot::Slot;
use crate::words::units::{in_words, seconds_of};

/// Shortest deadline in seconds: a shorter trial would end before any system has come up.
const SHORTEST: u64 = 10;

/// Checks a slot, and jumps into it. Until the last line the machine runs as before, and the disk boots the
/// slot that worked until the new one is confirmed.
pub fn run(args: &SwitchArgs) -> Result<()> {
    let deadline = deadline(&args.deadline)?;
    if let Some(reference) = &args.ram {
        return switch_ram::run(reference, deadline, args);
    }
    let slot: Slot = args.slot.as_deref().unwrap_or_default().parse()?;
    let policy = Policy::new(&[], &args.allow)?;
    let disk = StateHome::find(None, Access::of(args.plan.dry_run))?.disk()?;
    let running = disk.running()?;
    if !args.plan.dry_run {
        leftovers::remove(&disk)?;
    }
    let scratch = Scratch::enter()?;
    let ready = Ready::check(&scratch, &disk, slot, Some(&policy))?;
    let state = disk.state()?;
    let plan = Route {
        way: args.by,
        confirm: args.confirm,
        deadline,
        by_kexec: state.jumping(slot),
        by_firmware: state.trying(slot, Terms { confirm: args.confirm, deadline }),
    };
    let (title, kernel) = (&ready.record.entry().title, &ready.record.entry().kernel.version);
    let into = format!("slot {running} into slot {slot} ({title}, kernel {kernel})");
    let agent = !ready.record.agent.is_empty();
    let (after_kexec, after_firmware) = (plan.by_kexec.next_boot(), state.proven);
    let back = move |by: By| match agent {
        false => "nothing watches over it there, because it has no agent".to_owned(),
        true => format!(
            "unless it is confirmed within {}, the machine goes back to slot {}",
            in_words(deadline),
            if by == By::Kexec { after_kexec } else { after_firmware }
        ),
    };
    if args.plan.dry_run {
        let way = match args.by {
            Way::Kexec => "by kexec",
            Way::Firmware => "through the firmware",
            Way::Auto => "by kexec, or through the firmware if the kernel refuses that",
        };
        let back = back(if args.by == Way::Firmware { By::Firmware } else { By::Kexec });
        let would = vec![format!("would jump from {into} {way}; {back}")];
        return print(&Preview::new("switch", &disk, &STATE_AND_LEDGER, would), Format::of(args.plan.json));
    }
    disk.repair_state_block()?;
    let announce = |by| crate::stderr!("flipslot: jumping from {into}; {}", back(by));
    say_line(&match route::go(&scratch, &disk, ready, &plan, announce)? {
        By::Kexec => format!("services stop now, then slot {slot} starts by kexec"),
        By::Firmware => format!("services stop now, then the firmware starts, and GRUB tries slot {slot} once"),
    })
}

fn deadline(text: &str) -> Result<u64> {
    seconds_of(text).filter(|seconds| (SHORTEST..=7 * 86400).contains(seconds)).ok_or_else(|| {
        usage(
            format!("'{text}' is not a deadline that a trial can have"),
            "write --deadline 90s, 10m or 1h; at least 10s",
        )
    })
}
