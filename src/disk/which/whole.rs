//! A whole disk of this machine, opened once: from then on it is identified by the open descriptor, never by
//! its name. Nothing uses it, no other process can take it, and its identity is known.

use crate::disk::probe::Probe;
use crate::disk::safety::members::Kind;
use crate::disk::safety::{Device, System, members};
use crate::disk::which::identity::Identity;
use crate::error::{Result, refused};
use crate::hardware::block::Block;
use crate::mount::lock::{Patience, lock};
use crate::sys::block;
use crate::words::region::{Geometry, Region};
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A disk that nothing uses, open and locked for this program alone. It is open read-only: when a disk that
/// was open for writing is closed, udev examines it, and starts the arrays that it finds.
pub struct WholeDisk {
    file: File,
    node: Node,
    path: PathBuf,
    identity: Identity,
    /// Number of the disk among all disks since the machine started (diskseq), where the kernel counts them.
    sequence: Option<u64>,
    nodes: BTreeMap<u32, Block>,
}

impl WholeDisk {
    /// Opens and locks the disk at `path`, which may be any name of it. Refuses a partition, the disk of the
    /// running system, and a disk that is in use in any way, cannot be written, or does not exist.
    pub fn claim(path: &Path) -> Result<WholeDisk> {
        Probe::refuse_missing()?;
        let name = path.display().to_string();
        let node = Node::at(path)?;
        let system = System::this()?;
        let device = Device::of(&node.node)?;
        let block = device.block(&system, &name)?;
        let before = block.attribute("diskseq").and_then(|number| number.parse().ok());
        device.refuse_unless_free_disk(&name)?;
        if block.attribute("ro").as_deref() == Some("1") {
            return Err(read_only(&name));
        }
        // O_EXCL on a block device: no other process has it mounted, held or open with O_EXCL (open(2)).
        let file = node.open(OFlags::RDONLY | OFlags::EXCL)?;
        let sequence = block::sequence(&file).ok();
        if Device::of(&file)? != device || is_other(before, sequence) {
            return Err(refused(format!("{name} became another disk while it was opened"), "run the command again"));
        }
        lock(&file, path, Patience::Refuse)?;
        // As long as another process has the disk open, the kernel keeps what was read from it, even after
        // its partitions were written.
        block::drop_cache(&file).with_context(|| format!("dropping the cache of {name}"))?;
        if block::is_read_only(&file)? {
            return Err(read_only(&name));
        }
        if block::size(&file)? == 0 {
            return Err(empty_drive(&name));
        }
        let identity = Identity::of(&file, &system, &block)?;
        let parts = system.sysfs().partitions(&block).into_iter();
        let nodes = parts.filter_map(|part| Some((part.attribute("partition")?.parse().ok()?, part))).collect();
        Ok(WholeDisk { file, node, path: path.to_owned(), identity, sequence, nodes })
    }

    /// Returns the user's name for the disk.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the identity and contents of the disk.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the open disk, for reading.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Refuses a disk that holds a member of an array, a pool or an encrypted device, unless its kind is in `destroy`.
    pub fn refuse_members(&self, destroy: &[&Kind]) -> Result<()> {
        let regions: Vec<Region> = self.identity.contents.regions();
        let found = members::find(&Probe::of(&self.file), self.identity.size, &regions)?;
        members::refuse(&self.path.display().to_string(), &found, destroy, &self.nodes)
    }

    /// Refuses a disk that was pulled out, or lost its medium, since it was claimed.
    pub fn refuse_if_gone(&self) -> Result<()> {
        let now = block::size(&self.file).unwrap_or(0);
        if now == self.identity.size && !is_other(self.sequence, block::sequence(&self.file).ok()) {
            return Ok(());
        }
        let found = format!("{} is gone: the disk was pulled out, or lost its medium", self.path.display());
        Err(refused(found, "see what is there: lsblk --nodeps"))
    }

    /// Opens the disk for writing. Refuses if the device has become another one.
    pub fn into_writable(self) -> Result<Writable> {
        let file = self.node.open(OFlags::RDWR)?;
        self.refuse_if_gone()?;
        if Device::of(&file)? != Device::of(&self.file)? || is_other(self.sequence, block::sequence(&file).ok()) {
            return Err(refused(format!("{} became another disk", self.node.name), "run the command again"));
        }
        Ok(Writable { file, alone: self.file })
    }
}

/// A disk that may be overwritten.
pub struct Writable {
    /// The disk, open for writing.
    pub file: File,
    /// Keeps other processes away as long as it is open: `O_EXCL` and the lock.
    pub alone: File,
}

/// Reads the identity, contents and uses of the disk that is open as `file` and called `name`. Neither claims
/// the disk nor refuses one that is in use.
pub fn identity_of(file: &File, name: &str) -> Result<Identity> {
    Probe::refuse_missing()?;
    let system = System::this()?;
    let block = Device::of(file)?.block(&system, name)?;
    Identity::of(file, &system, &block)
}

/// Returns the size of the disk at `path` and of its sectors. Refuses a partition, and a drive without a medium.
pub fn geometry_of(path: &Path) -> Result<Geometry> {
    let name = path.display().to_string();
    let file = Node::at(path)?.open(OFlags::RDONLY)?;
    Device::of(&file)?.refuse_if_partition(&name)?;
    match block::size(&file).with_context(|| format!("reading the size of {name}"))? {
        0 => Err(empty_drive(&name)),
        size => {
            let sector = block::sector_size(&file).with_context(|| format!("reading the sector size of {name}"))?;
            Ok(Geometry { size: Bytes(size), sector })
        }
    }
}

/// A device's node, opened without access to the device (`O_PATH`): that access may fail, and the node
/// already identifies the device.
struct Node {
    node: OwnedFd,
    name: String,
}

impl Node {
    fn at(path: &Path) -> Result<Node> {
        let name = path.display().to_string();
        let node = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| not_opened(&name, errno))?;
        let kind = FileType::from_raw_mode(fstat(&node)?.st_mode);
        if kind != FileType::BlockDevice {
            return Err(refused(format!("{name} is not a block device any more"), "run the command again"));
        }
        Ok(Node { node, name })
    }

    /// Opens the device through the node, whatever is at its path by now.
    fn open(&self, flags: OFlags) -> Result<File> {
        let node = format!("/proc/self/fd/{}", self.node.as_fd().as_raw_fd());
        let opened = openat(CWD, &node, flags | OFlags::CLOEXEC, Mode::empty());
        opened.map(File::from).map_err(|errno| not_opened(&self.name, errno))
    }
}

/// Returns whether two numbers of a disk, if the kernel reports both, are those of different disks.
fn is_other(before: Option<u64>, now: Option<u64>) -> bool {
    before.is_some_and(|before| now.is_some_and(|now| before != now))
}

/// Explains why a device cannot be opened (open(2); kernel: drivers/scsi/sd.c `sd_open`, block/bdev.c).
fn not_opened(name: &str, errno: Errno) -> anyhow::Error {
    match errno {
        Errno::NOMEDIUM => empty_drive(name),
        Errno::NXIO | Errno::NODEV | Errno::NOENT => refused(
            format!("{name} is not there any more, or its node is stale ({errno})"),
            "list the disks of this machine: lsblk --nodeps",
        ),
        Errno::ACCESS | Errno::PERM if !geteuid().is_root() => {
            refused(format!("{name} cannot be opened: {errno}"), "run as root (sudo)")
        }
        Errno::ROFS | Errno::ACCESS | Errno::PERM => read_only(name),
        _ => refused(
            format!("{name} cannot be opened for this program alone: {errno}"),
            format!("see what uses it: lsblk {name}; lsof {name}"),
        ),
    }
}

fn empty_drive(name: &str) -> anyhow::Error {
    refused(
        format!("{name} has no medium in it: its size is 0"),
        format!("insert a medium, attach one (losetup), or name a disk other than {name}: lsblk --nodeps"),
    )
}

fn read_only(name: &str) -> anyhow::Error {
    refused(
        format!("{name} is read-only: nothing can be written to it"),
        format!("look for a switch on the drive; if software did it: blockdev --setrw {name}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_why_a_disk_cannot_be_opened_has_its_sentence() {
        for (errno, text) in [
            (Errno::NOMEDIUM, "/dev/sdx has no medium in it"),
            (Errno::NXIO, "/dev/sdx is not there any more"),
            (Errno::NODEV, "/dev/sdx is not there any more"),
            (Errno::ROFS, "/dev/sdx is read-only"),
            (Errno::BUSY, "for this program alone"),
        ] {
            let error = not_opened("/dev/sdx", errno);
            assert!(format!("{error:#}").contains(text), "{error:#}");
            assert_eq!(crate::error::kind(&error), crate::error::Kind::Refused);
            assert!(crate::error::hint(&error).is_some());
        }
    }

    #[test]
    fn a_disk_is_another_one_only_where_the_kernel_counts_disks_and_says_so() {
        assert!(is_other(Some(7), Some(8)));
        assert!(!is_other(Some(7), Some(7)) && !is_other(None, Some(8)) && !is_other(Some(7), None));
    }
}
