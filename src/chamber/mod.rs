//! Runs the image's own programs in its slot, isolated from this machine: separate mount, PID, IPC, UTS and
//! network namespaces with nothing of this machine mounted in them, a `/dev` that has only memory devices, a
//! read-only slot, few capabilities, no system call that reaches past all that, and bounded memory. Verified layers
//! are no reason to trust an image.

pub(crate) mod cgroup;
mod enter;
pub(crate) mod filter;
pub(crate) mod privileges;
mod program;
mod shape;

pub use enter::enter;
pub(crate) use program::{NAMESPACES, sealed};
pub use shape::Shape;

use crate::chamber::cgroup::Cgroups;
use crate::chamber::enter::{Walls, inside};
use crate::error::{Result, failed};
use crate::layer::LayerPath;
use crate::layer::entry::Meta;
use crate::mount::mounted::{Mount, Room};
use crate::mount::scratch::Scratch;
use crate::root::mounted::directory::Root;
use crate::root::mounted::put;
use crate::root::runnable::Runnable;
use crate::tool::{Printed, Tool};
use anyhow::Context;
use rustix::fs::{AtFlags, CWD, FileType, Mode, chmodat, makedev, mknodat};
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

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

/// A slot that is prepared to run its own programs.
pub struct Chamber {
    place: PathBuf,
    /// Mounts in the order in which they were made; undone in reverse.
    mounts: Vec<Mount>,
    shape: Shape,
    cgroups: Cgroups,
}

impl Chamber {
    /// Prepares a root. Fails if it lacks one of the directories in `NEEDED`.
    pub fn open(scratch: &Scratch, root: &dyn Runnable, shape: Shape) -> Result<Chamber> {
        let place = scratch.directory("chamber")?;
        let mounts = vec![root.show_at(&place)?];
        let cgroups = Cgroups::make(&shape);
        let mut chamber = Chamber { mounts, place, shape, cgroups };
        for folder in NEEDED {
            inside(&chamber.place, folder)?.ok_or_else(|| {
                let hint = "add to its Dockerfile: RUN mkdir -p /dev /proc /run /sys /tmp";
                failed(format!("the image has no directory /{folder}, which a booting system needs"), hint)
            })?;
        }
        let room = Room { bytes: chamber.shape.memory / 2, files: chamber.shape.files };
        for folder in MEMORY {
            let place = inside(&chamber.place, folder)?.unwrap_or_default();
            chamber.mounts.push(Mount::memory_of(room, &place)?);
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

    /// Runs a program of the slot. unshare(1) makes the namespaces and is the parent of what runs in them: it
    /// kills that when it ends or is killed, and with its first process the kernel kills all others. This program,
    /// started again in the namespaces, does the rest: [`enter`].
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Printed> {
        let walls = Walls {
            place: self.place.clone(),
            capabilities: self.shape.capabilities.bits(),
            memory: self.shape.memory,
            largest_file: self.shape.largest_file,
            cgroups: self.cgroups.entrances(),
        };
        let ran = Tool::new("unshare")
            .args(NAMESPACES)
            .arg(sealed()?)
            .arg("enter-chamber")
            .arg(serde_json::to_string(&walls)?)
            .arg(program)
            .args(arguments)
            .only_environment(&[
                ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
                ("LC_ALL", "C"),
                ("HOME", "/"),
                ("TMPDIR", "/tmp"),
            ])
            .deadline(self.shape.deadline)
            .hint(format!("run it in the image to see why: {program}"))
            .run();
        self.cgroups.kill();
        ran
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

impl Drop for Chamber {
    fn drop(&mut self) {
        while self.mounts.pop().is_some() {}
    }
}
