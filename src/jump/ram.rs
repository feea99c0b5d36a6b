//! Makes the jump into an image in memory, by kexec. No slot is changed: a reset boots what it did before.

use crate::error::{Result, refused};
use crate::jump::kexec;
use crate::jump::leftovers::Begun;
use crate::jump::restart::{Into, stop};
use crate::jump::watchdog::{Armed, Heir};
use std::fs::File;

/// A system in memory that can be jumped into.
pub struct IntoRam {
    /// Its kernel.
    pub kernel: File,
    /// Its initramfs, which holds the root.
    pub initramfs: File,
    /// Command line of the kernel.
    pub cmdline: String,
    /// The system as the one that takes over this machine's watchdog.
    pub heir: Heir,
    /// Seconds within which it must be confirmed.
    pub deadline: u64,
}

impl IntoRam {
    /// Jumps. Returns once nothing can stop the jump; on an error the machine runs on. Calls `announce` when the kernel is
    /// loaded.
    pub fn go(self, announce: impl FnOnce()) -> Result<()> {
        let IntoRam { kernel, initramfs, cmdline, heir, deadline } = self;
        let mut begun = Begun::note()?;
        let cannot = |why, next| refused(format!("cannot jump into the image by kexec: {why}"), next);
        kexec::refuse_if_too_large(kernel.metadata()?.len() + initramfs.metadata()?.len())
            .map_err(|why| cannot(why, "free memory, or take a smaller image"))?;
        kexec::load(&kernel, &initramfs, &cmdline)
            .map_err(|why| cannot(why, "see docs/switching.md#kexec-and-what-a-kernel-must-allow"))?;
        begun.loaded = true;
        drop((kernel, initramfs)); // the kernel has its own copies
        announce();
        let watchdog = Armed::for_jump("the image", heir, deadline);
        let stopped = stop(Into::Kexec); // the last effect
        match (watchdog, &stopped) {
            (Some(watchdog), Err(_)) => watchdog.call_off(),
            (watchdog, _) => drop(watchdog), // it goes on running
        }
        stopped?;
        begun.keep();
        Ok(())
    }
}
