//! The home of a trial's state: a disk with slots, or nowhere, if this system runs from memory.

use crate::boot::trial::BootedBy;
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::open::{Disk, booted_by, cmdline};
use crate::disk::installed::running::Running;
use crate::error::{Result, refused};
use crate::words::slot::Slot;
use std::path::{Path, PathBuf};

/// The place of the state that decides what a reset boots.
pub enum StateHome {
    /// A disk with slots.
    Disk(Box<Disk>),
    /// No disk: the root of this system is not a partition (memory, a network, a container). Nothing that it
    /// does changes what a reset boots.
    Nowhere,
}

impl StateHome {
    /// Opens the disk that was named, or else the one that this system runs from. Fails if that is there, but
    /// cannot be read or has no slots, and if the kernel was started for a slot whose disk is not found.
    pub fn find(named: Option<&Path>, access: Access) -> Result<StateHome> {
        match path_of(named, Running::find, &cmdline())? {
            Some(path) => Ok(StateHome::Disk(Box::new(Disk::open(&path, access)?))),
            None => Ok(StateHome::Nowhere),
        }
    }

    /// Returns the disk, for a command that needs one. Refuses a system that runs from none.
    pub fn disk(self) -> Result<Disk> {
        match self {
            StateHome::Disk(disk) => Ok(*disk),
            StateHome::Nowhere => Err(refused(
                "this system does not run from a slot: its root is not a partition of a disk",
                "run this on a machine booted from a flipslot disk; flash, status and cleanup also take --disk",
            )),
        }
    }

    /// Returns how this system was started, if it is on trial.
    pub fn trial(&self) -> Result<Option<BootedBy>> {
        match self {
            StateHome::Disk(disk) => disk.trial(),
            StateHome::Nowhere => Ok(trial_without_disk(booted_by())),
        }
    }
}

/// Returns the path of the disk that was named, or of the running one; `None` if this system runs from none,
/// and its kernel's command line names no slot either.
fn path_of(named: Option<&Path>, running: impl FnOnce() -> Option<Running>, cmdline: &str) -> Result<Option<PathBuf>> {
    if let Some(named) = named {
        return Ok(Some(named.to_owned()));
    }
    let Some(Running { disk, numbers, .. }) = running() else {
        // The disk of a slot was there when its initramfs mounted it: to take it as absent would give up its
        // trial without a word.
        let Some(slot) = slot_of(cmdline) else { return Ok(None) };
        let found = format!("the kernel was started for slot '{slot}', and the disk below / is not found");
        return Err(refused(found, "name the disk with --disk; in a container, run this on the machine itself"));
    };
    let no_node = || {
        let found = format!("the disk that this system runs from (number {numbers}) has no device in /dev");
        refused(found, "use a /dev that is this kernel's own (devtmpfs)")
    };
    disk.map(Some).ok_or_else(no_node)
}

/// Returns the slot that a command line of the kernel was written for.
fn slot_of(cmdline: &str) -> Option<Slot> {
    cmdline.split_ascii_whitespace().find_map(|word| word.strip_prefix("flipslot.slot=")?.parse().ok())
}

/// Returns how a system without a disk was started, if it is on trial: after a kexec always. One that GRUB
/// started may have been chosen in its menu, and no state says otherwise.
fn trial_without_disk(by: Option<BootedBy>) -> Option<BootedBy> {
    by.filter(|by| *by == BootedBy::Kexec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Kind, hint, kind};

    fn running(disk: Option<&str>) -> Option<Running> {
        Some(Running { disk: disk.map(PathBuf::from), numbers: "8:0".to_owned(), partition: 3 })
    }

    #[test]
    fn the_named_disk_comes_before_the_running_one_and_a_root_in_memory_has_none() {
        let path = |named: Option<&str>, running| path_of(named.map(Path::new), || running, "ro quiet").unwrap();
        assert_eq!(path(Some("d.raw"), running(Some("/dev/sda"))), Some("d.raw".into()));
        assert_eq!(path(Some("d.raw"), None), Some("d.raw".into()));
        assert_eq!(path(None, running(Some("/dev/sda"))), Some("/dev/sda".into()));
        assert_eq!(path(None, None), None);
    }

    #[test]
    fn a_disk_that_is_there_and_cannot_be_reached_is_not_the_same_as_none() {
        let error = path_of(None, || running(None), "").unwrap_err();
        assert_eq!(kind(&error), Kind::Refused);
        assert!(error.to_string().contains("8:0"), "{error:#}");
    }

    #[test]
    fn a_kernel_that_was_started_for_a_slot_has_a_disk_even_if_it_is_not_found() {
        let error = path_of(None, || None, "ro flipslot.slot=b quiet").unwrap_err();
        assert!(error.to_string().contains("for slot 'b'"), "{error:#}");
    }

    #[test]
    fn a_command_that_needs_a_disk_is_refused_where_there_is_none() {
        let error = StateHome::Nowhere.disk().err().unwrap();
        assert!(error.to_string().starts_with("this system does not run from a slot"), "{error:#}");
        assert!(hint(&error).is_some_and(|hint| hint.contains("--disk")));
    }

    #[test]
    fn without_a_disk_only_a_kexec_is_a_trial() {
        assert_eq!(trial_without_disk(Some(BootedBy::Kexec)), Some(BootedBy::Kexec));
        for by in [None, Some(BootedBy::Firmware), Some(BootedBy::Proven)] {
            assert_eq!(trial_without_disk(by), None);
        }
    }
}
