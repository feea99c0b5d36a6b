//! Runs the image's own dracut, which makes an uncompressed initramfs with only what this root needs; flipslot
//! compresses it itself.

use crate::boot::root_on::RootOn;
use crate::chamber::Chamber;
use crate::error::Result;
use crate::initramfs::{microcode, trial_units};
use crate::kernel::find::Kernel;
use crate::root::tree::Tree;
use anyhow::Context;
use std::collections::BTreeSet;

/// dracut modules that every root needs, beside those of its place ([`RootOn::dracut_modules`]); dracut adds those that they depend on. All others
/// are for roots that a slot does not have (LVM, RAID, encryption, network), or for graphical output; an image
/// that wants more says so in its own dracut.conf.d. On Debian 13, asking each of the others whether it is
/// needed takes 0.8 s.
const MODULES: [&str; 9] = [
    "base",
    "systemd",
    "systemd-initrd",
    "dracut-systemd",
    "kernel-modules",
    "udev-rules",
    "fs-lib",
    "shutdown",
    "usrmount",
];
/// Folder of dracut's modules; each has a folder named by two digits and its name.
pub const FOLDER: &str = "usr/lib/dracut/modules.d";

/// Folder in the chamber that dracut copies into the initramfs: files that a slot on trial needs there.
const INCLUDED: &str = "/run/flipslot-include";
/// File in the initramfs, of words that dracut's programs read as if they were on the kernel command line
/// (dracut.cmdline(7)).
const EARLY: &str = "etc/cmdline.d/00-flipslot.conf";

/// Choices for an initramfs that is made.
#[derive(Debug)]
pub struct Recipe {
    /// Kernel modules that it gets, and no others.
    pub drivers: BTreeSet<String>,
    /// Those of them that no device asks for by a pattern.
    pub named: BTreeSet<String>,
    /// Place of the root.
    pub on: RootOn,
    /// Choice of whether to prepend microcode for the processor.
    pub microcode: Microcode,
}

/// Choice of whether to prepend microcode to an initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Microcode {
    /// Prepend it, if the image has some.
    Early,
    /// Omit it: the host of a guest loads it. dracut takes half a second to look for missing microcode.
    Without,
}

/// Extent of what dracut puts into an initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Files for this root alone.
    Needed,
    /// All that it would put there by itself for any machine, and what fetches this root.
    Live,
    /// All that it would put there by itself for any machine. Drivers of a first stage are among it: that one loads
    /// those of devices that are there when it finds its root, and others come later.
    All,
}

/// An initramfs to be made.
#[derive(Clone, Copy)]
pub struct Job<'j> {
    /// Extent of its content.
    pub extent: Extent,
    /// Choices for it.
    pub recipe: &'j Recipe,
    /// Path in the chamber to which it is written.
    pub output: &'j str,
}

/// Makes the uncompressed initramfs of `kernel`, and writes it into the chamber.
pub fn run(chamber: &Chamber, root: &dyn Tree, kernel: &Kernel, job: Job) -> Result<()> {
    let Job { recipe, output, extent } = job;
    trial_units::IN_INITRAMFS.iter().try_for_each(|(path, text)| chamber.put(&format!("{INCLUDED}/{path}"), text))?;
    let script = root.head(SCRIPT, SCRIPT_MAX)?.unwrap_or_default();
    let mut arguments: Vec<String> =
        ALWAYS.iter().filter(|word| knows(&script, word)).map(ToString::to_string).collect();
    arguments.extend(["--kver", &kernel.version].map(str::to_owned));
    match extent {
        Extent::Needed => arguments.extend(needed(chamber, root, recipe)?),
        Extent::Live => {
            let modules = recipe.on.dracut_modules().join(" ");
            arguments.extend(["--no-early-microcode", "--omit", OF_DISKS, "--add", &modules].map(str::to_owned));
        }
        // A system that slept must not go on over a root that is mounted.
        Extent::All => arguments.extend(["--no-early-microcode", "--omit", "resume"].map(str::to_owned)),
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain([output]).collect();
    chamber.run("dracut", &arguments).map(drop).context("making the initramfs")
}

/// Modules for roots on disks, and for sleeping systems (dracut.modules(7)); others, as those of iSCSI, may reach a root
/// over the network, and dmsquash-live needs dm.
const OF_DISKS: &str = "resume btrfs crypt dmraid lvm mdraid multipath";
/// Path of dracut, which is a script.
const SCRIPT: &str = "usr/bin/dracut";
/// Most that is read of it, in bytes; that of Debian 13 has 90 kB.
const SCRIPT_MAX: u64 = 1 << 20;
/// Options that make an initramfs smaller or faster to make, and that not every dracut has: 033 of CentOS 7 does not.
const OPTIONAL: [&str; 3] = ["--no-hostonly-cmdline", "--nohardlink", "--reproducible"];

/// Returns false for an option that this dracut would refuse.
fn knows(script: &[u8], option: &str) -> bool {
    let is_script = script.starts_with(b"#!");
    !is_script || !OPTIONAL.contains(&option) || script.windows(option.len()).any(|part| part == option.as_bytes())
}

/// Arguments for every initramfs.
const ALWAYS: [&str; 11] = [
    "--force",
    "--quiet",
    // This machine is not the one that boots.
    "--no-hostonly",
    "--no-hostonly-cmdline",
    // Compression took 38 of dracut's 43 s; see initramfs/compress.rs.
    "--no-compress",
    // Debian images have no strip(1), and stripping takes longer than it saves.
    "--nostrip",
    // Searching for identical files takes longer than unpacking them twice.
    "--nohardlink",
    "--reproducible",
    "--include",
    INCLUDED,
    "/",
];

/// Returns the arguments for an initramfs with only what this root needs.
fn needed(chamber: &Chamber, root: &dyn Tree, recipe: &Recipe) -> Result<Vec<String>> {
    let early = match recipe.microcode {
        Microcode::Early if microcode::is_there(root) => "--early-microcode",
        _ => "--no-early-microcode",
    };
    if let Some(module) = recipe.on.early_module() {
        // dracut's own module for btrfs does the same; but it is for roots on several disks, and needs
        // a program that most images do not have (modules.d/90btrfs).
        chamber.put(&format!("{INCLUDED}/{EARLY}"), &format!("rd.driver.pre={module}\n"))?;
    }
    // A system without systemd, or with an older dracut, does not have all of them.
    let known = root.list(FOLDER)?;
    let is_known = |name: &&str| known.iter().any(|folder| folder.get(2..) == Some(*name));
    let modules =
        MODULES.iter().chain(recipe.on.dracut_modules()).copied().filter(is_known).collect::<Vec<_>>().join(" ");
    let filesystem = recipe.on.filesystem_name();
    let drivers = recipe.drivers.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    // With an empty list, dracut would look for drivers by itself.
    let drivers = if drivers.is_empty() { filesystem.unwrap_or("loop") } else { &drivers };
    let mut arguments = vec![early, "--modules", &modules, "--drivers", drivers];
    arguments.extend(filesystem.iter().flat_map(|name| ["--filesystems", *name]));
    Ok(arguments.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dracut_gets_the_options_that_it_has() {
        let old = b"#!/bin/bash\n  --force) force=yes;;\n  --nohardlink) hardlink=no;;\n";
        assert!(knows(old, "--nohardlink") && knows(old, "--kver"));
        assert!(!knows(old, "--reproducible"));
        assert!(knows(b"\x7fELF", "--reproducible"), "what it is cannot be told");
    }
}
