//! The walls of the unpacking process: a root that holds the slot and nothing else, no network, few capabilities, and
//! no system calls but those that unpacking needs. The rest of a namespace is unshare(1)'s.

use crate::chamber::privileges::keep_only;
use crate::error::Result;
use crate::sys::descriptors::close_all_but_standard;
use crate::sys::namespace::{enter_private_mounts, leave_network};
use crate::unpack::calls;
use crate::unpack::task::{At, Orders, Task};
use anyhow::Context;
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_move, mount_remount, unmount};
use rustix::process::{Resource, Rlimit, chdir, chroot, pivot_root, setrlimit, setsid};
use rustix::thread::CapabilitySet;
use std::fs;

/// Path of the slot for this process.
pub const SLOT: &str = "/slot";

/// Address space in bytes. A zstd layer may ask for a window of 128 MiB; each thread reserves some 70 MiB and uses a
/// small part of it.
const ADDRESS_SPACE: u64 = 4 << 30;
/// Descriptors. The directories of an archive are opened one at a time.
const OPEN_FILES: u64 = 256;

/// Capabilities that it needs to give files their owners, modes, attributes and types. System administration is for
/// `trusted.` and `security.` attributes alone (xattr(7)), and the administration of labels for those that this machine
/// does not know: the calls that they allow otherwise are refused.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::MAC_ADMIN)
    .union(CapabilitySet::SYS_ADMIN);

/// Puts up all walls. Afterwards this process can do nothing but read its input and write to the slot.
pub fn put_up(orders: &Orders) -> Result<()> {
    close_all_but_standard().context("closing inherited descriptors")?;
    match orders.task.at {
        At::System => drop(setsid().context("leaving this machine's session")?),
        // It leads a group of processes already, and there is no terminal.
        At::Initramfs => enter_private_mounts().and_then(|()| leave_network()).context("entering namespaces")?,
    }
    for entrance in &orders.cgroups {
        fs::write(entrance, "0").with_context(|| format!("joining {}", entrance.display()))?;
    }
    leave_this_machine(&orders.task)?;
    for (resource, limit) in [(Resource::As, ADDRESS_SPACE), (Resource::Nofile, OPEN_FILES), (Resource::Core, 0)] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
            .with_context(|| format!("limiting {resource:?} to {limit}"))?;
    }
    keep_only(KEPT)?;
    stay_in_slot()?;
    calls::apply()
}

/// Makes a root of its own: the slot, and `/proc` of this process's namespace, by which attributes are set.
fn leave_this_machine(task: &Task) -> Result<()> {
    let hall = &task.hall;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"flipslot", hall, c"tmpfs", flags, c"mode=0755,size=64k").context("mounting a root")?;
    let (proc, slot) = (hall.join("proc"), hall.join(SLOT.trim_start_matches('/')));
    fs::create_dir(&proc).and_then(|()| fs::create_dir(&slot)).context("making directories in it")?;
    // Nothing of the machine is in it (Linux 5.8); before, all of it can be read.
    let mounted = mount(c"proc", &proc, c"proc", flags | MountFlags::RDONLY, c"subset=pid");
    mounted.or_else(|_| mount(c"proc", &proc, c"proc", flags | MountFlags::RDONLY, c"")).context("mounting /proc")?;
    mount_bind(&task.place, &slot).context("mounting the slot")?;
    // Devices that are made there lead nowhere, whatever made them.
    mount_remount(&slot, flags | MountFlags::BIND, c"").context("limiting the slot's mount")?;
    chdir(hall).context("entering the root")?;
    match task.at {
        At::System => pivot_root(".", ".").and_then(|()| unmount(".", UnmountFlags::DETACH)),
        // The other root is covered; chroot(2), with which it could be reached, is refused later.
        At::Initramfs => mount_move(".", "/").and_then(|()| chroot(".")).and_then(|()| chdir("/")),
    }
    .context("leaving this machine's root")?;
    mount_remount("/", flags | MountFlags::RDONLY, c"").context("making the root read-only")
}

/// Allows access to files below the slot, and reading of `/proc`, where this kernel has Landlock with links from one
/// directory to another (Linux 5.19). Before, the root and the filter of system calls stand without it.
fn stay_in_slot() -> Result<()> {
    let all = AccessFs::from_all(ABI::V2);
    let hard = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(all);
    let Ok(Ok(rules)) = hard.map(Ruleset::create) else { return Ok(()) };
    let rule = |path: &str, access| -> Result<PathBeneath<PathFd>> { Ok(PathBeneath::new(PathFd::new(path)?, access)) };
    let rules = rules.add_rule(rule(SLOT, all)?)?.add_rule(rule("/proc", AccessFs::from_read(ABI::V2))?)?;
    rules.restrict_self().context("restricting access to the slot")?;
    Ok(())
}
