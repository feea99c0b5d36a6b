//! Makes the mounted root the root of the machine, and executes its init in place of this one.

use crate::error::{Result, failed};
use crate::init::early::PLACES;
use crate::init::kernel_log::{Level, log};
use crate::init::overlay::LAYER;
use crate::init::root::PLACE;
use crate::init::words::Words;
use anyhow::Context;
use rustix::fs::{Access, access};
use rustix::mount::{UnmountFlags, mount_move, unmount};
use rustix::process::{chdir, chroot};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Programs that are started if there is no `init=`: the kernel's own list (init/main.c, kernel_init) but for the
/// shell, and systemd where a link to it is missing, as dracut tries it.
pub const USUAL: [&str; 5] =
    ["/sbin/init", "/etc/init", "/bin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd"];

/// The system that is handed over to.
pub struct Handed<'h> {
    /// Place at which it is mounted now.
    pub place: &'h str,
    /// Programs to start, the first that is there.
    pub inits: &'h [&'h str],
}

/// Leaves the initramfs; returns only if that fails.
pub fn hand_over(handed: &Handed, words: &Words) -> Result<()> {
    let target_of = |place: &str| format!("{}{place}", handed.place);
    if let Some(place) = PLACES.iter().find(|place| !Path::new(&target_of(place)).is_dir()) {
        let hint = format!("add it to the image: RUN mkdir -p {place}");
        return Err(failed(format!("the root has no directory {place}, which a booting system needs"), hint));
    }
    for place in PLACES {
        mount_move(place, target_of(place)).with_context(|| format!("moving {place} to the root"))?;
    }
    let initramfs = File::open("/").context("opening the initramfs")?;
    chdir(handed.place).context("entering the root")?;
    mount_move(".", "/").context("moving the root")?;
    chroot(".").context("making the root the root of all")?;
    chdir("/").context("entering the root")?;
    let init = init_of(handed.inits)?;
    free_memory(&initramfs);
    if words.debug {
        log(Level::Info, &format!("starting {init}"));
    }
    // The kernel chose arguments and environment from the command line already (kernel: admin-guide/kernel-parameters.rst).
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    #[allow(clippy::disallowed_methods)] // it becomes that program
    let error = Command::new(&init).args(arguments).exec();
    Err(failed(
        format!("executing {init}: {error}"),
        "see that it is a program for this machine, and has its interpreter",
    ))
}

/// Removes the files of the initramfs, which take memory, but for the layer, which the root still reads.
fn free_memory(initramfs: &File) {
    let Ok(root) = initramfs.metadata() else { return };
    // Its path is the root's by now; the descriptor still leads to it.
    let place = format!("/proc/self/fd/{}", initramfs.as_raw_fd());
    empty(Path::new(&place), root.dev(), Path::new(&format!("{place}{LAYER}")));
}

/// Empties a folder, but for `kept` and what is mounted in it.
fn empty(folder: &Path, device: u64, kept: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match fs::symlink_metadata(&path) {
            Ok(found) if found.dev() != device => {} // the root, mounted here
            _ if path == kept => {}
            Ok(found) if found.is_dir() => {
                empty(&path, device, kept);
                let _ = fs::remove_dir(&path);
            }
            _ => drop(fs::remove_file(&path)),
        }
    }
}

/// Returns the first of these programs that is there.
fn init_of(inits: &[&str]) -> Result<String> {
    let is_program = |path: &str| access(path, Access::EXEC_OK).is_ok() && Path::new(path).is_file();
    inits.iter().find(|path| is_program(path)).map(|path| (*path).to_owned()).ok_or_else(|| {
        let found = format!("the root has no init: no program {}", inits.join(", "));
        failed(found, "install an init in the image, such as systemd-sysv of Debian, or correct init=")
    })
}

/// Takes the root away again, so that another attempt can be made.
pub fn give_back() {
    let _ = unmount(PLACE, UnmountFlags::DETACH);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_program_that_is_there_is_started() {
        assert_eq!(init_of(&["/no/such/init", "/etc/passwd", "/usr", "/bin/sh", "/bin/ls"]).unwrap(), "/bin/sh");
        assert!(init_of(&["/no/such/init"]).unwrap_err().to_string().contains("no program /no/such/init"));
    }

    #[test]
    fn what_is_mounted_below_is_not_emptied() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/c"), "x").unwrap();
        let device = fs::metadata(folder.path()).unwrap().dev();
        let kept = folder.path().join("kept");
        fs::create_dir(&kept).unwrap();
        empty(folder.path(), device + 1, &kept);
        assert!(folder.path().join("a/b/c").exists());
        empty(folder.path(), device, &kept);
        assert!(kept.exists());
        fs::remove_dir(kept).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
