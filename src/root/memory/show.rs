//! Shows a root in memory where its programs can run: written into a filesystem in memory.

use crate::error::{Result, failed};
use crate::mount::mounted::Mount;
use crate::root::copy::copy_changed;
use crate::root::memory::MemoryTree;
use crate::root::mounted::directory::Root;
use crate::root::mounted::sink::MountedRoot;
use crate::root::runnable::Runnable;
use crate::root::walk::{NodeKind, Walk};
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::fs::fstatvfs;
use rustix::mount::{MountFlags, mount_remount};
use std::path::Path;

/// Size of a page of memory in bytes, of which a file in a tmpfs takes a whole number (tmpfs(5)).
const PAGE: u64 = 4096;

/// Copies the root into a tmpfs, which later edits do not reach. Extended attributes stay behind: programs run
/// without them, and a tmpfs takes those of users only since Linux 6.6. Fails if memory has no room, or if a path
/// is longer than Linux accepts.
impl Runnable for MemoryTree {
    fn show_at(&self, place: &Path) -> Result<Mount> {
        let mounted = Mount::memory(place)?;
        let root = Root::open(place)?;
        self.refuse_too_large(&root)?;
        let writing = || format!("writing the image to {}", place.display());
        copy_changed(self, &mut MountedRoot::new(root)?, &|meta| meta.xattrs.clear()).with_context(writing)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY;
        mount_remount(place, flags, c"").with_context(|| format!("making {} read-only", place.display()))?;
        Ok(mounted)
    }
}

impl MemoryTree {
    /// Refuses a root that the filesystem of `room`, which is in memory, cannot hold.
    fn refuse_too_large(&self, room: &Root) -> Result<()> {
        let mut needed: u64 = 0;
        self.walk(&mut |visited| {
            if let NodeKind::File { size } = visited.kind {
                needed = needed.saturating_add(size.next_multiple_of(PAGE) / visited.links.max(1));
            }
            Ok(())
        })?;
        let room = fstatvfs(room.fd()).context("measuring the filesystem in memory")?;
        let room = room.f_bavail.saturating_mul(room.f_frsize);
        if needed > room {
            return Err(failed(
                format!(
                    "the image's files have {}, and half of this machine's memory is {}",
                    Bytes(needed),
                    Bytes(room)
                ),
                "run the command on a machine with more memory",
            ));
        }
        Ok(())
    }
}
