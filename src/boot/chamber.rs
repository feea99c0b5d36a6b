//! Running the image's own programs in its slot, shut off from this machine: own mount, PID, IPC,
//! UTS and network namespaces, a `/dev` with nothing but memory in it, no way to gain privileges
//! from the image's setuid files.

use crate::disk::mount::{Mount, Scratch};
use crate::error::{Result, failed};
use crate::filesystem::Root;
use crate::layer::LayerPath;
use crate::tool::{Printed, Tool};
use anyhow::Context;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, chmodat, makedev, mknodat};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The devices of the chamber (kernel: admin-guide/devices.txt, major 1).
const DEVICES: [(&str, u32); 5] = [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)];
/// Links that shells and dracut expect in `/dev`.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// The directories of a slot that are covered by memory while its programs run: what they leave
/// there is no part of the image.
const MEMORY: [&str; 4] = ["dev", "run", "tmp", "var/tmp"];
/// The directories without which neither these programs run nor the slot boots.
const NEEDED: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];
/// No program of an image that makes a slot bootable runs longer than this.
const DEADLINE: Duration = Duration::from_secs(600);

/// A slot whose programs can be run.
pub struct Chamber {
    place: PathBuf,
    /// In the order in which they were made; undone in the opposite one.
    mounts: Vec<Mount>,
}

impl Chamber {
    /// Prepares the slot that is mounted at `slot`.
    pub fn open(scratch: &Scratch, slot: &Path) -> Result<Chamber> {
        let place = scratch.directory("chamber")?;
        let mounts = vec![Mount::runnable(slot, &place)?];
        let mut chamber = Chamber { mounts, place };
        for folder in NEEDED {
            chamber.inside(folder)?.ok_or_else(|| {
                let hint = "add to its Dockerfile: RUN mkdir -p /dev /proc /run /sys /tmp";
                failed(format!("the image has no directory /{folder}, which a booting system needs"), hint)
            })?;
        }
        for folder in MEMORY {
            if let Some(place) = chamber.inside(folder)? {
                let flags = MountFlags::NOSUID | if folder == "dev" { MountFlags::NOEXEC } else { MountFlags::NODEV };
                chamber.mounts.push(Mount::memory(&place, flags)?);
            }
        }
        chamber.make_devices().context("making the devices that the image's programs need")?;
        Ok(chamber)
    }

    /// Where the directory `folder` of the slot really is, links followed inside the slot only; a
    /// mount must not land on a directory of this machine.
    fn inside(&self, folder: &str) -> Result<Option<PathBuf>> {
        match Root::open(&self.place)?.openat(&LayerPath::clean(folder.as_bytes())?, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(directory) => Ok(Some(fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno).with_context(|| format!("opening /{folder} of the slot")),
        }
    }

    fn make_devices(&self) -> Result<()> {
        let Some(dev) = self.inside("dev")? else { return Ok(()) };
        for (name, minor) in DEVICES {
            let path = dev.join(name);
            let mode = Mode::from_raw_mode(0o666);
            mknodat(CWD, &path, FileType::CharacterDevice, mode, makedev(1, minor))?;
            chmodat(CWD, &path, mode, AtFlags::empty())?; // whatever the umask is
        }
        LINKS.iter().try_for_each(|(name, target)| Ok(symlink(target, dev.join(name))?))
    }

    /// Opens a file that a program of the slot made. It is looked up inside the slot: the program
    /// may have left a link there.
    pub fn file(&self, path: &str) -> Result<File> {
        let opening = || format!("opening {path} of the slot");
        Root::open(&self.place)?.file(&LayerPath::clean(path.as_bytes())?).with_context(opening)
    }

    /// Runs a program of the slot. unshare(1) makes the namespaces, mounts `/proc`, and kills
    /// everything in them when it ends or is killed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Printed> {
        Tool::new("unshare")
            .args(["--mount", "--pid", "--ipc", "--uts", "--net", "--fork", "--kill-child=KILL", "--mount-proc"])
            .arg(format!("--root={}", self.place.display()))
            .arg("--wd=/")
            .arg("--")
            .arg(program)
            .args(arguments)
            .only_environment(&[
                ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
                ("LC_ALL", "C"),
                ("HOME", "/"),
                ("TMPDIR", "/var/tmp"),
            ])
            .deadline(DEADLINE)
            .hint(format!("run it in the image to see why: {program}"))
            .run()
    }

    /// Undoes the mounts; an error means that something still runs in the slot.
    pub fn close(mut self) -> Result<()> {
        while let Some(mount) = self.mounts.pop() {
            mount.close()?;
        }
        Ok(())
    }
}

impl Drop for Chamber {
    fn drop(&mut self) {
        while self.mounts.pop().is_some() {}
    }
}
