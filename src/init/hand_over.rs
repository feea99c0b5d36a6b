//! Makes the mounted root the root of the machine, and executes its init in place of this one.

use crate::error::{Result, failed};
use crate::init::early::PLACES;
use crate::init::root::{Mounted, PLACE, remount_writable};
use crate::init::say::{Level, say};
use crate::init::words::Words;
use anyhow::Context;
use rustix::fs::{Access, access};
use rustix::mount::{UnmountFlags, mount_move, unmount};
use rustix::process::{chdir, chroot};
use std::ffi::OsString;
use std::fs;
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
    /// Place of the root in it: `/` if it is the root.
    pub root: &'h str,
    /// Programs to start, the first that is there, unless `init=` names one of the root.
    pub inits: &'h [&'h str],
}

/// Leaves the initramfs; returns only if that fails.
pub fn hand_over(handed: &Handed, mounted: &Mounted, words: &Words) -> Result<()> {
    for place in PLACES {
        let target = format!("{}{place}", handed.place);
        if !Path::new(&target).is_dir() {
            return Err(failed(format!("the root has no directory {place}, which a booting system needs"), ""));
        }
        mount_move(place, &target).with_context(|| format!("moving {place} to the root"))?;
    }
    free_memory();
    chdir(handed.place).context("entering the root")?;
    mount_move(".", "/").context("moving the root")?;
    chroot(".").context("making the root the root of all")?;
    chdir("/").context("entering the root")?;
    if mounted.has_errors {
        check(mounted, handed.root, words)?;
    }
    // A second stage starts the root's own by itself.
    let chosen = words.init.as_deref().filter(|_| handed.root == "/");
    let init = init_of(chosen, handed.inits)?;
    if words.debug {
        say(Level::Info, &format!("starting {init}"));
    }
    // The kernel chose arguments and environment from the command line already (kernel: admin-guide/kernel-parameters.rst).
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    #[allow(clippy::disallowed_methods)] // it becomes that program
    let error = Command::new(&init).args(arguments).exec();
    Err(failed(format!("executing {init}: {error}"), ""))
}

/// Removes the files of the initramfs, which take memory: nothing can reach them after this.
fn free_memory() {
    let Ok(root) = fs::metadata("/") else { return };
    empty(Path::new("/"), root.dev());
}

fn empty(folder: &Path, device: u64) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match fs::symlink_metadata(&path) {
            Ok(found) if found.dev() != device => {} // the root, mounted here
            Ok(found) if found.is_dir() => {
                empty(&path, device);
                let _ = fs::remove_dir(&path);
            }
            _ => drop(fs::remove_file(&path)),
        }
    }
}

/// Has the root's own checker repair a filesystem in which the kernel has found errors. Only ext4 notes them; XFS and
/// btrfs repair what can be repaired when they are mounted, and are not mounted otherwise.
fn check(mounted: &Mounted, root: &str, words: &Words) -> Result<()> {
    let node = mounted.node.display();
    say(Level::Warning, &format!("{node} has errors, and is checked"));
    #[allow(clippy::disallowed_methods)] // nothing else runs here that a program could inherit from
    let ended =
        Command::new("/sbin/e2fsck").arg("-p").arg(&mounted.node).status().context("running the root's e2fsck")?;
    // e2fsck(8): 0 and 1 are clean and repaired; 2 asks for a restart, after which there is nothing to repair.
    match ended.code() {
        Some(0 | 1) => {}
        Some(2) => return Err(failed(format!("{node} was repaired, which needs a restart"), "restart the machine")),
        _ => {
            return Err(failed(
                format!("{node} has errors that e2fsck does not repair by itself: {ended}"),
                "check it from another system: e2fsck",
            ));
        }
    }
    if words.writable {
        remount_writable(root, words).with_context(|| format!("making {node} writable"))?;
    }
    Ok(())
}

/// Returns the program to start.
fn init_of(chosen: Option<&str>, usual: &[&str]) -> Result<String> {
    let is_program = |path: &str| access(path, Access::EXEC_OK).is_ok() && Path::new(path).is_file();
    match chosen {
        Some(path) if is_program(path) => Ok(path.to_owned()),
        Some(path) => Err(failed(format!("the root has no program {path}, which init= names"), "correct init=")),
        None => usual.iter().find(|path| is_program(path)).map(|path| (*path).to_owned()).ok_or_else(|| {
            failed(
                format!("the root has no init: none of {}", usual.join(", ")),
                "install one in the image: systemd-sysv",
            )
        }),
    }
}

/// Takes the root away again, so that another attempt can be made.
pub fn give_back() {
    let _ = unmount(PLACE, UnmountFlags::DETACH);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_init_that_was_named_is_the_only_one_that_counts() {
        assert_eq!(init_of(Some("/bin/sh"), &USUAL).unwrap(), "/bin/sh");
        assert!(init_of(Some("/no/such/init"), &USUAL).unwrap_err().to_string().contains("/no/such/init"));
        assert!(init_of(Some("/etc/passwd"), &USUAL).is_err(), "a file that cannot be executed");
        assert!(init_of(Some("/usr"), &USUAL).is_err(), "a directory");
    }

    #[test]
    fn what_is_mounted_below_is_not_emptied() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/c"), "x").unwrap();
        let device = fs::metadata(folder.path()).unwrap().dev();
        empty(folder.path(), device + 1);
        assert!(folder.path().join("a/b/c").exists());
        empty(folder.path(), device);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
