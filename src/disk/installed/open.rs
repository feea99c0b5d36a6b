//! A disk that flipslot made: opened, locked, with its table and its boot partition read.

use crate::boot::state::{Copies, State};
use crate::boot::trial::BootedBy;
use crate::disk::installed::boot_files::{BootFiles, Holding};
use crate::disk::installed::boot_partition::{Access, BootPartition};
use crate::disk::installed::running::{Node, Running};
use crate::disk::safety::writers;
use crate::disk::table::partitions::Table;
use crate::disk::table::read as table;
use crate::error::{Result, refused};
use crate::filesystem::kind::Filesystem;
use crate::init::superblock::superblock_at;
use crate::mount::lock::{Patience, lock, lock_number};
use crate::sys::block;
use crate::words::partuuid::PartUuid;
use crate::words::region::TableKind;
use crate::words::slot::Slot;
use anyhow::Context;
use rustix::fs::{FileType, fstat, major, minor, stat};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait of the agent for a command that changes the disk, such as a flash of another slot.
const AGENT_WAITS: Duration = Duration::from_secs(300);

/// A disk with slots, made by flipslot.
pub struct Disk {
    /// Path of the disk or disk file.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// Files of its boot partition.
    pub files: BootFiles,
    /// Partition table of the disk.
    pub table: Table,
    /// The slot that this system runs from, if it is on this disk.
    pub running: Option<Slot>,
    pub(crate) file: File,
    /// Numbers of a device, as in sysfs (`8:0`); `None` for a file.
    pub(crate) numbers: Option<String>,
    /// The lock on the device's number, where there is one.
    _by_number: Option<File>,
}

impl Disk {
    /// Returns the data partition with its filesystem; `None` if there is none, or no filesystem in it that an initramfs of
    /// flipslot's mounts.
    pub fn data(&self) -> Option<(PartUuid, Filesystem)> {
        let number = self.table.data?;
        let (region, _, partuuid) = self.table.shared.iter().find(|(region, ..)| region.number == number)?;
        let found = superblock_at(&self.file, region.start)?;
        Some((*partuuid, found.filesystem.parse().ok()?))
    }

    /// Opens the disk or disk file at `path`. Locks it if it is to be changed. Refuses a disk without slots.
    pub fn open(path: &Path, access: Access) -> Result<Disk> {
        let name = path.display().to_string();
        let (file, numbers) = open_whole(path, access)?;
        let patience = match access {
            Access::Look => None,
            Access::Change => Some(Patience::Refuse),
            Access::ChangeLater => Some(Patience::Wait(AGENT_WAITS)),
        };
        let mut by_number = None;
        if let Some(patience) = patience {
            lock(&file, path, patience)?;
            by_number = numbers.as_deref().map(|numbers| lock_number(numbers, path, patience)).transpose()?.flatten();
        }
        let is_device = numbers.is_some();
        let size = if is_device { block::size(&file)? } else { file.metadata()?.len() };
        let none = || {
            let found = format!("{name} has no flipslot table (GPT or MBR with a boot partition and slots)");
            // What is there may be the only copy of something: no hint proposes to overwrite it.
            let next = match size {
                0 if !is_device => format!("make a disk of the empty file: flipslot create {name} --yes"),
                _ => format!("see what it holds: wipefs {name}; sfdisk -l {name}; or name a disk that flipslot made"),
            };
            refused(found, next)
        };
        let sector = if is_device { block::sector_size(&file)? } else { table::sector_of_file(&file) };
        let table = table::read(&file, size, sector).with_context(|| format!("reading the table of {name}"))?;
        let table = table.ok_or_else(none)?;
        let partition = BootPartition::open(&file, numbers.as_deref(), table.boot, access)?;
        let files = BootFiles::new(partition)?.ok_or_else(|| {
            if table.kind == TableKind::Mbr {
                return none();
            }
            let found = format!("{name} has slots, but no state block on its boot partition");
            refused(found, "check that partition: fsck.vfat -n; the slots may be intact")
        })?;
        let table = table.with_slots(files.slot_regions()?)?;
        let running = Running::find().filter(|running| Some(&running.numbers) == numbers.as_ref());
        let running = running.and_then(|running| {
            table.slots.iter().find(|(_, (region, _))| region.number == running.partition).map(|(slot, _)| *slot)
        });
        Ok(Disk { path: path.to_owned(), size, files, table, running, file, numbers, _by_number: by_number })
    }

    /// Returns the path if the disk is a device.
    pub fn device(&self) -> Option<&Path> {
        self.numbers.as_ref().map(|_| self.path.as_path())
    }

    /// Reads the state, which decides what a reset boots. If neither copy of it is intact, derives it from the slots.
    pub fn state(&self) -> Result<State> {
        Ok(match self.files.state()? {
            Copies::Whole(state) | Copies::Half(state, _) => state,
            Copies::Neither => State::first(self.first_to_boot()?),
        })
    }

    /// Describes the damage to the copies of the state block, for people; `None` if both are intact.
    pub fn state_damage(&self) -> Result<Option<&'static str>> {
        Ok(match self.files.state()? {
            Copies::Whole(_) => None,
            Copies::Half(_, what) => Some(what),
            Copies::Neither => Some("neither copy of the state block was intact"),
        })
    }

    /// Writes both copies of the state block again if a power cut tore one. Commands call it once nothing can
    /// be refused any more: a refused command has written nothing.
    pub fn repair_state_block(&self) -> Result<()> {
        if let Some(what) = self.state_damage()? {
            let state = self.state()?;
            self.files.write_state(state)?;
            crate::stderr!("flipslot: {what}; both are written again: slot {} is proven", state.proven);
        }
        Ok(())
    }

    /// Returns the slot that counts as proven if no state is left: the running slot if GRUB booted it as the
    /// proven one, else the first that holds an image, which is what GRUB boots then.
    fn first_to_boot(&self) -> Result<Slot> {
        let was_proven = booted_by() == Some(BootedBy::Proven);
        if let Some(running) = self.running.filter(|_| was_proven) {
            return Ok(running);
        }
        for slot in self.table.slots.keys() {
            if let Holding::Whole(_) = self.files.holding(*slot)? {
                return Ok(*slot);
            }
        }
        Err(refused(
            format!("no slot of {} holds an image", self.path.display()),
            "save what you need from its partitions; then only a new disk made over it boots again: flipslot create",
        ))
    }

    /// Refuses a disk file that another process may write, such as a virtual machine that runs from it.
    pub fn refuse_if_file_is_written(&self) -> Result<()> {
        let Some((process, program)) = writers::lasting(|| self.other_writer())? else { return Ok(()) };
        let name = self.path.display();
        let found = format!("{name} is open in {program} (process {process}), which may write it at the same time");
        Err(refused(found, format!("shut it down first; see what has the file open: lsof {name}")))
    }

    fn other_writer(&self) -> Result<Option<(u32, String)>> {
        if self.numbers.is_some() {
            return Ok(None);
        }
        let path = fs::canonicalize(&self.path).with_context(|| format!("looking at {}", self.path.display()))?;
        Ok(writers::of_file(Path::new("/proc"), &path, &fstat(&self.file)?))
    }

    /// Refuses a slot that the disk does not have.
    pub fn refuse_unknown(&self, slot: Slot) -> Result<()> {
        if self.table.slots.contains_key(&slot) {
            return Ok(());
        }
        let known: Vec<String> = self.table.slots.keys().map(ToString::to_string).collect();
        Err(refused(
            format!("{} has no slot {slot}; it has {}", self.path.display(), known.join(", ")),
            "name one of these: --slot b",
        ))
    }

    /// Returns how the running slot was started, if it is on trial: by kexec, or by GRUB in order to try it.
    /// A slot that was chosen in GRUB's menu, or that GRUB fell back to, is not on trial: there may be
    /// nothing better to go back to.
    pub fn trial(&self) -> Result<Option<BootedBy>> {
        let wanted = self.state()?.wanted;
        Ok(booted_by().filter(|by| match by {
            BootedBy::Kexec => true,
            BootedBy::Firmware => self.running == Some(wanted),
            BootedBy::Proven => false,
        }))
    }

    /// Returns the slot that this system runs from; refuses if it does not run from a slot of this disk.
    pub fn running(&self) -> Result<Slot> {
        self.running.ok_or_else(|| {
            refused(
                format!("this system does not run from a slot of {}", self.path.display()),
                "run this on the machine that the disk boots",
            )
        })
    }
}

/// Opens a disk or a disk file, and returns a device's numbers. A device with partitions that the kernel
/// knows is opened read-only: it is written through these alone.
fn open_whole(path: &Path, access: Access) -> Result<(File, Option<String>)> {
    const NEXT: &str = "name a disk that flipslot made, and run as root: --disk /dev/sda";
    let name = path.display();
    let found = stat(path).map_err(|errno| refused(format!("{name}: {errno}"), NEXT))?;
    let numbers = match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => None,
        FileType::BlockDevice => Some(format!("{}:{}", major(found.st_rdev), minor(found.st_rdev))),
        _ => return Err(refused(format!("{name} is not a disk"), NEXT)),
    };
    let by_partitions = numbers.as_ref().is_some_and(|numbers| Node::find(numbers, 1).is_some());
    let mut options = File::options();
    options.read(true).write(access != Access::Look && !by_partitions);
    let file = options.open(path).map_err(|error| refused(format!("{name}: {error}"), NEXT))?;
    if fstat(&file)?.st_rdev != found.st_rdev {
        return Err(refused(format!("{name} became another disk while it was opened"), "run the command again"));
    }
    if numbers.is_some() {
        // As long as another process has the disk open, the kernel keeps what was read from it, even after
        // its partitions were written.
        let dropped = block::drop_cache(&file).with_context(|| format!("dropping the cache of {name}"));
        if access != Access::Look {
            dropped?; // a caller that only reads may lack the privilege
        }
    }
    Ok((file, numbers))
}

/// Returns how the running kernel was started, from the word that its loader put on the command line.
pub fn booted_by() -> Option<BootedBy> {
    BootedBy::of(&cmdline())
}

/// Reads the running kernel's command line; empty if it cannot be read.
pub fn cmdline() -> String {
    fs::read_to_string("/proc/cmdline").unwrap_or_default()
}
