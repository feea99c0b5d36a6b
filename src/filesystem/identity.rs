//! A filesystem that was copied, UUID and all, becomes one of its own; and one in a partition that
//! became larger takes the room. Nothing is mounted.

use crate::error::Result;
use crate::filesystem::Filesystem;
use crate::tool::Tool;
use anyhow::Context;
use std::path::Path;
use uuid::Uuid;

/// Programs that are needed for it, each with the package that has it.
pub fn programs(of: Filesystem) -> &'static [(&'static str, &'static str)] {
    match of {
        Filesystem::Ext4 => &[("e2fsck", "e2fsprogs"), ("tune2fs", "e2fsprogs"), ("resize2fs", "e2fsprogs")],
        Filesystem::Xfs => &[("xfs_admin", "xfsprogs"), ("xfs_repair", "xfsprogs"), ("xfs_logprint", "xfsprogs")],
        Filesystem::Btrfs => &[("btrfs", "btrfs-progs"), ("btrfstune", "btrfs-progs")],
    }
}

/// Whether the filesystem on `device` has a log that must be replayed before it takes a UUID, which only the
/// kernel does: the machine was not shut down. e2fsck replays that of ext4, and btrfs needs no replay for it.
pub fn waits_for_replay(of: Filesystem, device: &Path) -> Result<bool> {
    if of != Filesystem::Xfs {
        return Ok(false);
    }
    let log =
        Tool::new("xfs_logprint").arg("-t").arg(device).run().context("looking at the log of the XFS filesystem")?;
    // What a dirty log holds comes behind its state, and may be long; a clean one ends with it.
    Ok(!log.stdout.contains("<CLEAN>"))
}

/// Gives the filesystem on `device`, which is not mounted, the UUID `uuid`.
pub fn renew(of: Filesystem, device: &Path, uuid: Uuid) -> Result<()> {
    match of {
        Filesystem::Ext4 => {
            // tune2fs takes a filesystem with checksums only freshly checked (tune2fs(8), "-U"): the
            // UUID is in every one of them.
            check_and_mend(device)?;
            let set = Tool::new("tune2fs").args(["-U", &uuid.to_string()]).arg(device);
            set.run().map(drop).context("giving the ext4 filesystem a UUID of its own")
        }
        Filesystem::Xfs => {
            let set = Tool::new("xfs_admin").args(["-U", &uuid.to_string()]).arg(device);
            let set = set.hint("mount the golden disk's slot once, and unmount it: its log is replayed then");
            set.run().map(drop).context("giving the XFS filesystem a UUID of its own")
        }
        // It is in every block of metadata; written there (-U), it needs nothing of who reads it.
        Filesystem::Btrfs => {
            let set = Tool::new("btrfstune").args(["-f", "-U", &uuid.to_string()]).arg(device);
            set.run().map(drop).context("giving the btrfs filesystem a UUID of its own")
        }
    }
}

/// Whether the filesystem can take the room of a larger partition while it is not mounted.
pub fn grows_unmounted(of: Filesystem) -> bool {
    of == Filesystem::Ext4
}

/// What to run where the filesystem is mounted, for one that grows nowhere else.
const fn growing(of: Filesystem) -> (&'static str, &'static [&'static str]) {
    match of {
        Filesystem::Ext4 => ("resize2fs", &[]),
        Filesystem::Xfs => ("xfs_growfs", &[]),
        Filesystem::Btrfs => ("btrfs", &["filesystem", "resize", "max"]),
    }
}

/// The same for people.
pub fn how_to_grow(of: Filesystem) -> String {
    let (program, words) = growing(of);
    [&[program], words, &["MOUNTPOINT"]].concat().join(" ")
}

/// Makes a filesystem that is mounted at `place` as large as its partition.
pub fn grow_at(of: Filesystem, place: &Path) -> Result<()> {
    let (program, words) = growing(of);
    let grow = Tool::new(program).args(words).arg(place);
    grow.run().map(drop).with_context(|| format!("growing the {of} filesystem"))
}

/// Makes an ext4 filesystem as large as `device`; [`renew`] has just checked it.
pub fn grow(device: &Path) -> Result<()> {
    check_and_mend(device)?; // resize2fs wants it anew after tune2fs
    Tool::new("resize2fs").arg(device).run().map(drop).context("growing the ext4 filesystem")
}

/// e2fsck(8), "-p": replays the journal, and mends what can be mended without a question; exit code 1
/// says that it did. Anything worse is a failure.
fn check_and_mend(device: &Path) -> Result<()> {
    let check = Tool::new("e2fsck").args(["-f", "-p"]).arg(device);
    check.run_for(&[0, 1]).map(drop).context("checking the ext4 filesystem")
}
