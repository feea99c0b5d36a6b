//! Makes the jump, by kexec or through the firmware, in an order in which a power cut at any line ends in a
//! slot that was proven.

use crate::boot::ledger::{Boot, By, Confirm, Moment};
use crate::boot::record::Record;
use crate::boot::state::State;
use crate::disk::installed::boot_files::Holding;
use crate::disk::installed::claim::Idle;
use crate::disk::installed::open::Disk;
use crate::error::{Result, refused};
use crate::jump::leftovers::Begun;
use crate::jump::ready::Ready;
use crate::jump::restart::Into;
use crate::jump::watchdog::{Armed, Heir};
use crate::jump::{kexec, restart};
use crate::mount::scratch::Scratch;
use crate::root::carry_over::{CarryOver, Which};
use crate::root::mounted::directory::Root;
use crate::words::slot::Slot;
use std::path::Path;

/// The way to reach another slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// kexec: no firmware, no boot loader
    Kexec,
    /// A restart, in which GRUB tries the slot once
    Firmware,
    /// kexec, or the firmware if the running kernel refuses that
    Auto,
}

/// Parameters of a jump.
pub struct Route {
    /// The way to reach the slot.
    pub way: Way,
    /// Confirmation of the slot: by its health check or by hand.
    pub confirm: Confirm,
    /// Seconds within which the slot must be confirmed.
    pub deadline: u64,
    /// State on the disk while a kexec is under way.
    pub by_kexec: State,
    /// State on the disk before a restart through the firmware.
    pub by_firmware: State,
}

/// A slot whose kernel is loaded, if the way needs that.
struct Loaded {
    slot: Slot,
    record: Record,
    idle: Idle,
    heir: Heir,
}

/// Jumps into the slot. Returns the way once nothing can stop the jump; on an error the machine runs on, and
/// the disk has the state that it had before. Calls `announce` with the way once it is known.
pub fn go(scratch: &Scratch, disk: &Disk, ready: Ready, route: &Route, announce: impl FnOnce(By)) -> Result<By> {
    let mut begun = Begun::note()?;
    let (by, ready) = load(ready, route)?;
    begun.loaded = by == By::Kexec;
    announce(by);
    if let Err(error) = carry(scratch, disk, &ready) {
        crate::stderr!("flipslot: files were not carried over, slot {} keeps its own copies: {error:#}", ready.slot);
    }
    let before = disk.state()?;
    let after = if by == By::Kexec { route.by_kexec } else { route.by_firmware };
    begun.note_states(before, after)?;
    if let Err(error) = leave(disk, &ready, route, by) {
        disk.files.write_state(before)?;
        return Err(error);
    }
    begun.keep();
    Ok(by)
}

/// Writes the state and the ledger for the jump, starts the watchdog, and stops this system.
fn leave(disk: &Disk, ready: &Loaded, route: &Route, by: By) -> Result<()> {
    let (state, into) = match by {
        By::Kexec => (route.by_kexec, Into::Kexec),
        By::Firmware => (route.by_firmware, Into::Firmware),
    };
    if state != disk.state()? {
        disk.files.write_state(state)?;
    }
    note(disk, ready, route, by)?;
    let watchdog = match by {
        By::Kexec => Armed::for_jump(&format!("slot {}", ready.slot), ready.heir, route.deadline),
        By::Firmware => None,
    };
    let stopped = restart::stop(into); // the last effect
    match (watchdog, &stopped) {
        (Some(watchdog), Err(_)) => watchdog.call_off(),
        (watchdog, _) => drop(watchdog), // it goes on running
    }
    stopped
}

/// Loads the slot's kernel, unless the way leads through the firmware. Afterwards the files, and with them
/// the mount that they are in, are closed.
fn load(ready: Ready, route: &Route) -> Result<(By, Loaded)> {
    let Ready { slot, record, kernel, initramfs, heir, idle } = ready;
    let ready = Loaded { slot, record, idle, heir };
    if route.way == Way::Firmware {
        return Ok((By::Firmware, ready));
    }
    let cmdline = ready.record.entry().cmdline.by_kexec(route.deadline, route.confirm);
    let loaded = kexec::refuse_if_too_large(kernel.metadata()?.len() + initramfs.metadata()?.len())
        .and_then(|()| kexec::load(&kernel, &initramfs, &cmdline));
    match loaded {
        Ok(()) => Ok((By::Kexec, ready)),
        Err(why) if route.way == Way::Auto => {
            crate::stderr!("flipslot: kexec is not possible: {why}; going through the firmware instead");
            Ok((By::Firmware, ready))
        }
        Err(why) => {
            let next = "go through the firmware: --by firmware";
            Err(refused(format!("cannot jump into slot {} by kexec: {why}", ready.slot), next))
        }
    }
}

/// Carries over the files that changed on the machine since the slot was written. Which files these are comes
/// from the record of the slot that was flashed last, of the two.
fn carry(scratch: &Scratch, disk: &Disk, ready: &Loaded) -> Result<()> {
    let running = disk.running.map(|running| disk.files.holding(running)).transpose()?;
    let records = [running.as_ref().and_then(Holding::record), Some(&ready.record)];
    let flashed = records.into_iter().flatten().filter(|record| record.keep.is_some());
    let Some(keep) = flashed.max_by_key(|record| record.written).and_then(|record| record.keep.clone()) else {
        return Ok(());
    };
    let keep = CarryOver::of_record(keep)?;
    // A slot that forgets has the files that it was given when it was written.
    if keep.patterns().is_empty() || ready.record.root.is_some() {
        return Ok(());
    }
    let device = ready.idle.attach()?;
    let mount = ready.record.filesystem()?.mount_to_write(device.path(), &scratch.directory("carry")?)?;
    let mut root = Root::open(mount.mount_point())?;
    let carried = keep.carry(Path::new("/"), &mut root, Which::Newer)?;
    drop(root);
    mount.close()?;
    for path in carried {
        crate::stderr!("flipslot: {path} is newer here: carried over into slot {}", ready.slot);
    }
    Ok(())
}

/// Notes the jump in the ledger.
fn note(disk: &Disk, ready: &Loaded, route: &Route, by: By) -> Result<()> {
    let mut ledger = disk.files.ledger()?;
    ledger.push(Boot {
        from: disk.running,
        confirm: route.confirm,
        deadline: route.deadline,
        asked: Some(Moment::now()),
        ..Boot::new(ready.slot, by)
    });
    disk.files.write_ledger(&ledger)
}
