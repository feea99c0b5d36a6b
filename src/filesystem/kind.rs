//! The filesystems that a slot can have. Everything that differs between them is in a file of its own for each;
//! the methods here are what the rest of the program knows of them.

use crate::error::{Result, refused, usage};
use crate::filesystem::mkfs::{MkfsOptions, New};
use crate::filesystem::properties::{Growth, Kind, On, OnDevice, Program};
use crate::filesystem::{btrfs, ext4, xfs};
use crate::mount::mounted::{Access, Mount};
use crate::mount::vacant::{Overwritten, Vacant};
use crate::words::units::Bytes;
use clap::ValueEnum;
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, fsopen};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use uuid::Uuid;

/// The root filesystem of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filesystem {
    /// ext4: small slots too, and read by everything
    #[default]
    Ext4,
    /// XFS: reflinks and many files; slots of 300 MiB or more
    Xfs,
    /// btrfs: checksums of all files, snapshots; slots of 109 MiB or more
    Btrfs,
}

/// All filesystems, in the order in which a superblock is looked for. Their programs clear each other's magic,
/// but not all else. XFS begins at byte 0, where ext4 leaves its first KiB alone: it comes first, because what it
/// overwrites could still look like ext4.
pub(super) const BY_SUPERBLOCK: [Filesystem; 3] = [Filesystem::Xfs, Filesystem::Btrfs, Filesystem::Ext4];

/// Proof that the checker of a filesystem found nothing wrong with it; made by [`Filesystem::check`] alone.
#[derive(Debug)]
pub struct Checked(());

impl Filesystem {
    /// Returns the properties and operations of this filesystem.
    pub fn kind(self) -> &'static Kind {
        match self {
            Filesystem::Ext4 => &ext4::KIND,
            Filesystem::Xfs => &xfs::KIND,
            Filesystem::Btrfs => &btrfs::KIND,
        }
    }

    fn on_device(self) -> &'static OnDevice {
        let On::Device(on_device) = &self.kind().on;
        on_device
    }

    /// Returns the programs that make and check it.
    pub fn programs(self) -> &'static [Program] {
        self.on_device().programs
    }

    /// Returns the size of the smallest partition that it can be made in.
    pub fn smallest(self) -> Bytes {
        self.on_device().smallest
    }

    /// Returns the kernel modules that a root on it needs: its own first, then others that a kernel may have.
    pub fn modules(self) -> Vec<&'static str> {
        let kind = self.kind();
        std::iter::once(kind.name).chain(kind.helpers.iter().copied()).collect()
    }

    /// Returns the GRUB modules that read slots, each once.
    pub fn grub_modules() -> Vec<&'static str> {
        Filesystem::value_variants().iter().map(|filesystem| filesystem.kind().grub_module).collect()
    }

    /// Refuses options of the user that reach beyond the filesystem on the slot's device, as far as the
    /// program that makes it does not refuse them itself before it writes.
    pub fn refuse_words(self, options: &MkfsOptions) -> Result<()> {
        (self.on_device().refuse_words)(options)
    }

    /// Makes a new filesystem over all of a partition, whatever is there.
    ///
    /// Only a partition that was claimed can be formatted: a new disk's, here a file's, or an idle slot's.
    ///
    /// ```no_run
    /// # use flipslot::disk::new::target::{Existing, Target};
    /// # use flipslot::filesystem::{kind::Filesystem, mkfs::New};
    /// # use flipslot::words::{region::{Geometry, Region}, units::Bytes};
    /// # use std::path::Path;
    /// # fn format(new: &New) -> flipslot::error::Result<()> {
    /// # let whole = Region { number: 1, start: 0, size: 64 << 20 };
    /// # let geometry = Geometry { size: Bytes(64 << 20), sector: 512 };
    /// let target = Target::of_file(Path::new("disk.img"), geometry, Existing::Refuse)?;
    /// let device = target.vacant(whole)?;
    /// Filesystem::Ext4.format(device, new)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Any other device does not compile:
    ///
    /// ```compile_fail,E0308
    /// # use flipslot::disk::new::target::{Existing, Target};
    /// # use flipslot::filesystem::{kind::Filesystem, mkfs::New};
    /// # use flipslot::words::{region::{Geometry, Region}, units::Bytes};
    /// # use std::path::Path;
    /// # fn format(new: &New) -> flipslot::error::Result<()> {
    /// # let whole = Region { number: 1, start: 0, size: 64 << 20 };
    /// # let geometry = Geometry { size: Bytes(64 << 20), sector: 512 };
    /// let target = Target::of_file(Path::new("disk.img"), geometry, Existing::Refuse)?;
    /// let device = Path::new("/dev/sda");
    /// Filesystem::Ext4.format(device, new)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn format(self, partition: Vacant, new: &New) -> Result<Overwritten> {
        self.refuse_words(new.options)?;
        (self.on_device().format)(&partition, new)?;
        Ok(partition.overwritten())
    }

    /// Runs the checker on the filesystem on `device`, which is not mounted; fails if it finds anything
    /// wrong. Changes nothing.
    pub fn check(self, device: &Path) -> Result<Checked> {
        (self.on_device().check)(device)?;
        Ok(Checked(()))
    }

    /// Refuses a filesystem that the running kernel does not support. The kernel loads a module that is not
    /// loaded yet (fsopen(2), which mounts nothing).
    pub fn refuse_unknown_to_kernel(self) -> Result<()> {
        match fsopen(self.kind().name, FsOpenFlags::FSOPEN_CLOEXEC) {
            Err(Errno::NODEV) => Err(refused(
                format!("the running kernel does not support {self}: a slot with it cannot be written here"),
                format!("load the driver (modprobe {self}), or choose another --filesystem"),
            )),
            // Linux before 5.2 does not have this call; there the mount itself will fail.
            _ => Ok(()),
        }
    }

    /// Mounts `device` at `place` to write to it, such that nothing in it can be run or used as a device.
    pub fn mount_to_write(self, device: &Path, place: &Path) -> Result<Mount> {
        Mount::device(device, place, self.kind().name, Access::Write, self.on_device().to_write)
    }

    /// Mounts `device` at `place` read-only and without its journal, as GRUB reads it: nothing is written, not
    /// even the recovery that a power cut left to be done.
    pub fn mount_as_grub_reads(self, device: &Path, place: &Path) -> Result<Mount> {
        let kind = self.kind();
        Mount::device(device, place, kind.name, Access::Read, kind.as_grub_reads)
    }

    /// Returns the programs that give a copy a UUID of its own, and grow it.
    pub fn renewal_programs(self) -> &'static [Program] {
        self.on_device().new_uuid.programs
    }

    /// Returns whether the filesystem on `device` has a log that must be replayed before it takes a UUID, which
    /// only the kernel does: the machine was not shut down.
    pub fn waits_for_replay(self, device: &Path) -> Result<bool> {
        (self.on_device().new_uuid.waits_for_replay)(device)
    }

    /// Gives the filesystem on `device`, which is not mounted, the UUID `uuid`.
    pub fn renew_uuid(self, device: &Path, uuid: Uuid) -> Result<()> {
        (self.on_device().new_uuid.set)(device, uuid)
    }

    /// Returns how it grows to the size of its partition.
    pub fn growth(self) -> &'static Growth {
        &self.on_device().growth
    }
}

impl FromStr for Filesystem {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Filesystem> {
        <Filesystem as ValueEnum>::from_str(text, false).map_err(|_| {
            let known = Filesystem::value_variants().iter().map(ToString::to_string).collect::<Vec<_>>();
            usage(
                format!("--filesystem '{}' is not a filesystem that a slot can have", text.escape_debug()),
                format!("name one of these: {}", known.join(", ")),
            )
        })
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_for_flags_records_and_mounts() {
        for filesystem in Filesystem::value_variants() {
            let name = filesystem.to_string();
            assert_eq!(serde_json::to_string(filesystem).unwrap(), format!("\"{name}\""));
            assert_eq!(name.parse::<Filesystem>().unwrap(), *filesystem, "{name}");
        }
    }

    #[test]
    fn every_filesystem_is_known_by_its_superblock() {
        assert_eq!(BY_SUPERBLOCK.len(), Filesystem::value_variants().len());
        assert!(Filesystem::value_variants().iter().all(|filesystem| BY_SUPERBLOCK.contains(filesystem)));
    }
}
