//! The inside of a chamber: this program, started again in new namespaces, puts up the walls and becomes the
//! image's program.

use crate::chamber::filter;
use crate::chamber::privileges::keep_only;
use crate::error::Result;
use crate::layer::LayerPath;
use crate::root::mounted::directory::Root;
use crate::sys::descriptors::close_all_but_standard;
use crate::tool::Tool;
use anyhow::Context;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Resource, Rlimit, chdir, pivot_root, setrlimit, setsid};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Files that one process may have open.
const OPEN_FILES: u64 = 4096;

/// The walls of a chamber, as they are handed to the process that enters it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Walls {
    /// Path at which the slot is mounted.
    pub place: PathBuf,
    /// Bits of the capabilities that are kept (capabilities(7)).
    pub capabilities: u64,
    /// Memory of one process in bytes.
    pub memory: u64,
    /// Size of the largest file in bytes.
    pub largest_file: u64,
    /// The `cgroup.procs` to write to.
    pub cgroups: Vec<PathBuf>,
}

/// Makes the slot the root and executes one of its programs in place of this one; returns only if that fails. Runs
/// in the namespaces that [`Chamber::run`](crate::chamber::Chamber::run) has made.
///
/// The root of this machine is unmounted, so that there is nothing to escape to, and every inherited descriptor except
/// the standard streams is closed. New device nodes cannot be opened: every writable mount is nodev, and
/// `/dev` and `/proc` are read-only.
pub fn enter(walls: &str, program: &OsStr, arguments: &[OsString]) -> Result<()> {
    let walls: Walls = serde_json::from_str(walls).context("reading the walls of the chamber")?;
    close_all_but_standard().context("closing inherited descriptors")?;
    setsid().context("leaving this machine's session")?;
    for entrance in &walls.cgroups {
        fs::write(entrance, "0").with_context(|| format!("joining {}", entrance.display()))?;
    }
    leave_this_machine(&walls.place)?;
    bound(&walls)?;
    keep_only(CapabilitySet::from_bits_retain(walls.capabilities))?;
    filter::apply()?;
    Err(Tool::new(program).args(arguments).become_it())
}

fn leave_this_machine(place: &Path) -> Result<()> {
    let proc = inside(place, "proc")?.context("the slot has no directory /proc")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    mount(c"proc", &proc, c"proc", flags, c"").context("mounting /proc in the slot")?;
    chdir(place).context("entering the slot")?;
    pivot_root(".", ".").context("making the slot the root")?;
    unmount(".", UnmountFlags::DETACH).context("leaving this machine's root")
}

/// Sets the limits of each process (setrlimit(2)).
fn bound(walls: &Walls) -> Result<()> {
    for (resource, limit) in [
        (Resource::As, walls.memory),
        (Resource::Fsize, walls.largest_file),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Core, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
            .with_context(|| format!("limiting {resource:?} to {limit}"))?;
    }
    Ok(())
}

/// Returns the real path of the directory `folder` of the slot; `None` if there is none. Links are followed
/// inside the slot only: a mount must not end up on a directory of this machine.
pub(super) fn inside(place: &Path, folder: &str) -> Result<Option<PathBuf>> {
    match Root::open(place)?.openat(&LayerPath::clean(folder.as_bytes())?, OFlags::PATH | OFlags::DIRECTORY) {
        Ok(directory) => Ok(Some(fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).with_context(|| format!("opening /{folder} of the slot")),
    }
}
