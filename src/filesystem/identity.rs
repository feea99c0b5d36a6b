//! Gives a filesystem that was copied, UUID and all, a UUID of its own; and grows a filesystem whose
//! partition became larger. Mounts nothing.

use crate::error::Result;
use crate::filesystem::kind::Filesystem;
use crate::tool::Tool;
use anyhow::Context;
use std::path::Path;
use uuid::Uuid;

/// Returns the programs that these changes need, each with the package that has it.
pub fn programs(of: Filesystem) -> &'static [(&'static str, &'static str)] {
    match of {
        Filesystem::Ext4 => &[("e2fsck", "e2fsprogs"), ("tune2fs", "e2fsprogs"), ("resize2fs", "e2fsprogs")],
        Filesystem::Xfs => &[("xfs_admin", "xfsprogs"), ("xfs_repair", "xfsprogs"), ("xfs_logprint", "xfsprogs")],
        Filesystem::Btrfs => &[("btrfs", "btrfs-progs"), ("btrfstune", "btrfs-progs")],
    }
}

/// Returns whether the filesystem on `device` has a log that must be replayed before it takes a UUID, which
/// only the kernel does: the machine was not shut down. Always false for ext4, whose log e2fsck replays, and
/// for btrfs, which needs no replay for that.
pub fn waits_for_replay(of: Filesystem, device: &Path) -> Result<bool> {
    if of != Filesystem::Xfs {
        return Ok(false);
    }
    let log =
        Tool::new("xfs_logprint").arg("-t").arg(device).run().context("looking at the log of the XFS filesystem")?;
    // A dirty log prints its content after its state, and that may be long; a clean one ends with its state.
    Ok(!log.stdout.contains("<CLEAN>"))
}

/// Gives the filesystem on `device`, which is not mounted, the UUID `uuid`.
pub fn renew(of: Filesystem, device: &Path, uuid: Uuid) -> Result<()> {
    match of {
        Filesystem::Ext4 => {
            // tune2fs takes a filesystem with checksums only if it was just checked (tune2fs(8), "-U"): the
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
        // The UUID is in every block of metadata; written there (-U), it demands nothing of a reader.
        Filesystem::Btrfs => {
            let set = Tool::new("btrfstune").args(["-f", "-U", &uuid.to_string()]).arg(device);
            set.run().map(drop).context("giving the btrfs filesystem a UUID of its own")
        }
    }
}

/// Returns whether the filesystem can grow with its partition while it is not mounted.
pub fn grows_unmounted(of: Filesystem) -> bool {
    of == Filesystem::Ext4
}

/// Returns the program, with its arguments, that grows a mounted filesystem.
const fn growing(of: Filesystem) -> (&'static str, &'static [&'static str]) {
    match of {
        Filesystem::Ext4 => ("resize2fs", &[]),
        Filesystem::Xfs => ("xfs_growfs", &[]),
        Filesystem::Btrfs => ("btrfs", &["filesystem", "resize", "max"]),
    }
}

/// Returns the command that grows a mounted filesystem, for people to run.
pub fn how_to_grow(of: Filesystem) -> String {
    let (program, words) = growing(of);
    [&[program], words, &["MOUNTPOINT"]].concat().join(" ")
}

/// Grows the filesystem that is mounted at `place` to the size of its partition.
pub fn grow_at(of: Filesystem, place: &Path) -> Result<()> {
    let (program, words) = growing(of);
    let grow = Tool::new(program).args(words).arg(place);
    grow.run().map(drop).with_context(|| format!("growing the {of} filesystem"))
}

/// Grows an ext4 filesystem, which is not mounted, to the size of `device`. Checks it again: [`renew`] has
/// changed it since its check.
pub fn grow(device: &Path) -> Result<()> {
    check_and_mend(device)?; // required by resize2fs after tune2fs
    Tool::new("resize2fs").arg(device).run().map(drop).context("growing the ext4 filesystem")
}

/// Runs e2fsck(8) with "-p": replays the journal, and fixes what can be fixed without a question; exit code 1
/// says that it did. Anything worse is a failure.
fn check_and_mend(device: &Path) -> Result<()> {
    let check = Tool::new("e2fsck").args(["-f", "-p"]).arg(device);
    check.run_for(&[0, 1]).map(drop).context("checking the ext4 filesystem")
}
