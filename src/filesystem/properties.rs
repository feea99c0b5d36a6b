//! The properties and operations of one filesystem: what its own file says about it.

use crate::error::Result;
use crate::filesystem::feature_table::{Feature, Has};
use crate::filesystem::mkfs::{MkfsOptions, New};
use crate::mount::vacant::Vacant;
use crate::tool::Tool;
use crate::words::units::Bytes;
use anyhow::Context;
use std::ffi::CStr;
use std::fmt;
use std::path::Path;
use uuid::Uuid;

/// A program, and the package of Debian that has it.
pub type Program = (&'static str, &'static str);

/// Properties and operations of one filesystem, however it comes to be.
pub struct Kind {
    /// Name for mount(2), for `rootfstype=`, for dracut, and of its kernel module.
    pub name: &'static str,
    /// Name of the GRUB module that reads it.
    pub grub_module: &'static str,
    /// Kernel modules that an initramfs needs besides [`Kind::name`], where a kernel has them.
    pub helpers: &'static [&'static str],
    /// Set if the module must be loaded before an initramfs looks for disks.
    pub early: bool,
    /// Options of mount(2), besides read-only, with which it reads what GRUB reads: nothing that is still in
    /// the journal only.
    pub as_grub_reads: &'static CStr,
    /// Features that it can have, and who reads each.
    pub features: &'static [Feature],
    /// End of the superblock, in bytes from the beginning of the filesystem.
    pub(super) superblock_end: usize,
    /// Reads the superblock from the first bytes of a filesystem, of which there may be fewer than
    /// [`Kind::superblock_end`]; returns `None` if they are not of this filesystem. Accepts any bytes.
    pub(super) read_superblock: fn(&[u8]) -> Option<Superblock>,
    /// Origin of the filesystem, with the operations on it.
    pub on: On,
}

/// Facts in a superblock.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    pub uuid: Uuid,
    pub features: Vec<Has>,
}

/// The place in which a filesystem is made.
///
/// There is one way so far. A filesystem that a program writes from a tree in one go, and that is never changed
/// after that (squashfs, EROFS), will be another variant; the compiler then points at all code that takes a
/// device for granted.
pub enum On {
    /// On a device, empty: files are written to it through a mount.
    Device(OnDevice),
}

/// Properties and operations of a filesystem that is made, checked, changed and mounted on a device.
pub struct OnDevice {
    /// Programs that make and check it.
    pub programs: &'static [Program],
    /// Smallest partition that it can be made in.
    pub smallest: Bytes,
    /// Options of mount(2) for writing a new filesystem.
    pub to_write: &'static CStr,
    /// Implements `Filesystem::refuse_words`.
    pub(super) refuse_words: fn(&MkfsOptions) -> Result<()>,
    /// Implements `Filesystem::format`.
    pub(super) format: fn(&Vacant, &New) -> Result<()>,
    /// Implements `Filesystem::check`.
    pub(super) check: fn(&Path) -> Result<()>,
    /// Gives a copy a UUID of its own.
    pub(super) new_uuid: NewUuid,
    /// Lets it take the room of a larger partition.
    pub growth: Growth,
}

/// The way to give a filesystem that was copied, UUID and all, a UUID of its own. Nothing is mounted.
pub struct NewUuid {
    /// Programs that this takes, growth and repairs included.
    pub(super) programs: &'static [Program],
    /// Implements `Filesystem::waits_for_replay`.
    pub(super) waits_for_replay: fn(&Path) -> Result<bool>,
    /// Implements `Filesystem::renew_uuid`.
    pub(super) set: fn(&Path, Uuid) -> Result<()>,
}

/// The way in which a filesystem grows to the size of its partition.
pub enum Growth {
    /// On a device that is not mounted; the function is given its path.
    Unmounted(fn(&Path) -> Result<()>),
    /// Only while it is mounted.
    Mounted(GrowCommand),
}

/// A command that grows a mounted filesystem. Displayed as people type it.
pub struct GrowCommand {
    /// Program.
    pub(super) program: &'static str,
    /// Its arguments; the mount point follows.
    pub(super) words: &'static [&'static str],
}

impl GrowCommand {
    /// Grows the filesystem that is mounted at `place`.
    pub fn run_at(&self, place: &Path) -> Result<()> {
        Tool::new(self.program).args(self.words).arg(place).run().map(drop).context("growing the filesystem")
    }
}

impl fmt::Display for GrowCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&[&[self.program], self.words, &["MOUNTPOINT"]].concat().join(" "))
    }
}
