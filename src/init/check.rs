//! Repairs a root in which the kernel has found errors, before anything writes to it.

use crate::error::{Result, failed};
use crate::init::keeper::restart;
use crate::init::kernel_log::{Level, log};
use anyhow::Context;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::process::{chdir, chroot};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// First argument with which the init becomes the root's checker.
pub const VERB: &str = "check-root";
/// Places of this system for the checker.
const NEEDED: [&str; 2] = ["/dev", "/proc"];
/// Bits of e2fsck's exit code (e2fsck(8)): errors were repaired, and the machine must be restarted.
const REPAIRED: i32 = 1;
const RESTART: i32 = 2;
/// Exit code of this program where it cannot become e2fsck: of no bit that e2fsck has.
pub const NOT_STARTED: i32 = 127;
/// The checker of the root.
const E2FSCK: &str = "/sbin/e2fsck";

/// Has the root's own e2fsck repair the root on `node`, which is mounted read-only at `root`. Only ext4 notes errors; XFS
/// and btrfs repair what can be repaired when they are mounted, and are not mounted otherwise.
pub fn repair(node: &Path, root: &str) -> Result<()> {
    if fs::symlink_metadata(format!("{root}{E2FSCK}")).is_err() {
        // A system that was never checked may run on; one that does not start helps nobody.
        log(Level::Error, &format!("{} has errors, and the root has no {E2FSCK} to repair them", node.display()));
        return Ok(());
    }
    log(Level::Warning, &format!("{} has errors: running e2fsck -p", node.display()));
    for place in NEEDED {
        mount_bind(place, format!("{root}{place}")).with_context(|| format!("showing {place} to e2fsck"))?;
    }
    #[allow(clippy::disallowed_methods)] // nothing else runs here that a program could inherit from
    let ended = Command::new("/proc/self/exe").args([VERB, root]).arg(node).status().context("running e2fsck")?;
    for place in NEEDED {
        unmount(format!("{root}{place}"), UnmountFlags::DETACH).with_context(|| format!("hiding {place} again"))?;
    }
    match ended.code() {
        Some(code) if code & !(REPAIRED | RESTART) != 0 => {}
        Some(code) if code & RESTART != 0 => {
            restart(&format!("{} was repaired, which needs a restart", node.display()))
        }
        Some(_) => return Ok(()),
        None => {}
    }
    if ended.code() == Some(NOT_STARTED) {
        return Err(failed(
            format!("{} has errors, and {E2FSCK} does not start", node.display()),
            "see its interpreter",
        ));
    }
    let found = format!("{} has errors that e2fsck does not repair by itself: {ended}", node.display());
    Err(failed(found, "check it from another system: e2fsck"))
}

/// Becomes the root's checker; returns why that failed. To e2fsck, the root is `/`, or it would refuse a mounted one.
#[allow(clippy::disallowed_methods)] // it becomes that program
pub fn become_checker(root: &str, node: &str) -> std::io::Error {
    match chroot(root).and_then(|()| chdir("/")) {
        Ok(()) => Command::new(E2FSCK).args(["-p", node]).exec(),
        Err(errno) => errno.into(),
    }
}
