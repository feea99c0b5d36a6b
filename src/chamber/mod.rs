//! Runs the image's own programs in its slot, isolated from this machine: separate mount, PID, IPC, UTS and
//! network namespaces with nothing of this machine mounted in them, a `/dev` that has only memory devices, a
//! read-only slot, and few capabilities. Verified layers are no reason to trust an image.

use crate::error::{Result, failed};
use crate::layer::LayerPath;
use crate::layer::entry::Meta;
use crate::mount::mounted::Mount;
use crate::mount::scratch::Scratch;
use crate::root::mounted::directory::Root;
use crate::root::mounted::put;
use crate::root::runnable::Runnable;
use crate::tool::{Printed, Tool};
use anyhow::Context;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, chmodat, makedev, mknodat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{chdir, pivot_root};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set, set_no_new_privs};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Devices of the chamber, as name and minor number (kernel: admin-guide/devices.txt, major 1).
const DEVICES: [(&str, u32); 5] = [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)];
/// Links that shells and dracut expect in `/dev`, as name and target.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// Directories of a slot that a tmpfs covers while its programs run: the only ones that they can write to.
/// Anything that they leave there is not part of the image.
const MEMORY: [&str; 2] = ["run", "tmp"];
/// Directories that both these programs and a booting slot need.
const NEEDED: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];
/// Capabilities that root keeps in a chamber: to set owners and modes of files, to make device nodes (which
/// cannot be opened there), and to chroot(2) further down, as ldconfig(8) does.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SYS_CHROOT);
/// Time limit for one program of the image, such as dracut.
const DEADLINE: Duration = Duration::from_secs(600);

/// A slot that is prepared to run its own programs.
pub struct Chamber {
    place: PathBuf,
    /// Mounts in the order in which they were made; undone in reverse.
    mounts: Vec<Mount>,
}

impl Chamber {
    /// Prepares a root. Fails if it lacks one of the directories in `NEEDED`.
    pub fn open(scratch: &Scratch, root: &dyn Runnable) -> Result<Chamber> {
        let place = scratch.directory("chamber")?;
        let mounts = vec![root.show_at(&place)?];
        let mut chamber = Chamber { mounts, place };
        for folder in NEEDED {
            inside(&chamber.place, folder)?.ok_or_else(|| {
                let hint = "add to its Dockerfile: RUN mkdir -p /dev /proc /run /sys /tmp";
                failed(format!("the image has no directory /{folder}, which a booting system needs"), hint)
            })?;
        }
        for folder in MEMORY {
            let place = inside(&chamber.place, folder)?.unwrap_or_default();
            chamber.mounts.push(Mount::memory(&place)?);
        }
        let dev = inside(&chamber.place, "dev")?.unwrap_or_default();
        chamber.mounts.push(Mount::devices(&dev, make_devices)?);
        Ok(chamber)
    }

    /// Opens a file that a program of the slot made. The path is resolved inside the slot: the program may
    /// have left a link there.
    pub fn file(&self, path: &str) -> Result<File> {
        let opening = || format!("opening {path} of the slot");
        Root::open(&self.place)?.file(&LayerPath::clean(path.as_bytes())?).with_context(opening)
    }

    /// Writes a text file into the chamber's memory, at a path below `/run` or `/tmp`.
    pub fn put(&self, path: &str, text: &str) -> Result<()> {
        let meta = Meta { mode: 0o644, ..Meta::default() };
        put::file(&Root::open(&self.place)?, &LayerPath::clean(path.as_bytes())?, &meta, &mut text.as_bytes())
    }

    /// Runs a program of the slot. unshare(1) makes the namespaces, and kills everything in them when it ends
    /// or is killed; this program, started again in them, does the rest: [`enter`].
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Printed> {
        Tool::new("unshare")
            .args(["--mount", "--pid", "--ipc", "--uts", "--net", "--fork", "--kill-child=KILL", "--"])
            .arg(format!("/proc/{}/exe", std::process::id()))
            .arg("enter-chamber")
            .arg(&self.place)
            .arg(program)
            .args(arguments)
            .only_environment(&[
                ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
                ("LC_ALL", "C"),
                ("HOME", "/"),
                ("TMPDIR", "/tmp"),
            ])
            .deadline(DEADLINE)
            .hint(format!("run it in the image to see why: {program}"))
            .run()
    }

    /// Undoes the mounts. An error means that something still runs in the slot.
    pub fn close(mut self) -> Result<()> {
        while let Some(mount) = self.mounts.pop() {
            mount.close()?;
        }
        Ok(())
    }
}

fn make_devices(dev: &Path) -> Result<()> {
    for (name, minor) in DEVICES {
        let path = dev.join(name);
        let mode = Mode::from_raw_mode(0o666);
        mknodat(CWD, &path, FileType::CharacterDevice, mode, makedev(1, minor))?;
        chmodat(CWD, &path, mode, AtFlags::empty())?; // regardless of the umask
    }
    LINKS.iter().try_for_each(|(name, target)| Ok(symlink(target, dev.join(name))?))
}

/// Makes the slot at `place` the root and executes one of its programs in place of this one; returns only
/// if that fails. Runs in the namespaces that [`Chamber::run`] has made.
///
/// The root of this machine is unmounted, so that there is nothing to escape to; only the capabilities that
/// unpacking files needs are left. New device nodes cannot be opened: every writable mount is nodev, and
/// `/dev` and `/proc` are read-only.
pub fn enter(place: &Path, program: &OsStr, arguments: &[OsString]) -> Result<()> {
    let proc = inside(place, "proc")?.context("the slot has no directory /proc")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    mount(c"proc", &proc, c"proc", flags, c"").context("mounting /proc in the slot")?;
    chdir(place).context("entering the slot")?;
    pivot_root(".", ".").context("making the slot the root")?;
    unmount(".", UnmountFlags::DETACH).context("leaving this machine's root")?;
    for capability in CapabilitySet::all().difference(KEPT).iter() {
        match remove_capability_from_bounding_set(capability) {
            Ok(()) | Err(Errno::INVAL) => {} // this kernel does not have it
            Err(errno) => return Err(errno).context("giving up capabilities"),
        }
    }
    set_no_new_privs(true).context("giving up privileges")?;
    Err(Tool::new(program).args(arguments).become_it())
}

/// Returns the real path of the directory `folder` of the slot; `None` if there is none. Links are followed
/// inside the slot only: a mount must not end up on a directory of this machine.
fn inside(place: &Path, folder: &str) -> Result<Option<PathBuf>> {
    match Root::open(place)?.openat(&LayerPath::clean(folder.as_bytes())?, OFlags::PATH | OFlags::DIRECTORY) {
        Ok(directory) => Ok(Some(fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).with_context(|| format!("opening /{folder} of the slot")),
    }
}

impl Drop for Chamber {
    fn drop(&mut self) {
        while self.mounts.pop().is_some() {}
    }
}
