//! dracut's command line: the image's own dracut makes the initramfs, with what this root needs
//! and no more, and leaves compression to us.

use crate::boot::agent;
use crate::boot::chamber::Chamber;
use crate::boot::kernel::Kernel;
use crate::error::Result;
use crate::filesystem::{Filesystem, Root, Tree};
use anyhow::Context;
use std::collections::BTreeSet;

/// The modules of dracut that a root on a plain partition needs; with them come those that they
/// depend on. All others are for roots that a slot does not have (LVM, RAID, encryption, network),
/// or show something on a screen; an image that wants more says so in its own dracut.conf.d. On
/// Debian 13, asking each of the others whether it is needed takes 0.8 s.
const MODULES: [&str; 10] = [
    "base",
    "systemd",
    "systemd-initrd",
    "dracut-systemd",
    "rootfs-block",
    "kernel-modules",
    "udev-rules",
    "fs-lib",
    "shutdown",
    "usrmount",
];
/// Where dracut has its modules, in folders called by two digits and their name.
const FOLDER: &str = "usr/lib/dracut/modules.d";

/// Where distributions install processor microcode.
const MICROCODE: [&str; 4] = [
    "usr/lib/firmware/intel-ucode",
    "usr/lib/firmware/amd-ucode",
    "lib/firmware/intel-ucode",
    "lib/firmware/amd-ucode",
];

/// What a slot on trial needs in its initramfs beside dracut's own: it is copied from here.
const INCLUDED: &str = "/run/flipslot-include";
/// Words that dracut's programs read as if they stood on the kernel's command line (dracut.cmdline(7)).
const EARLY: &str = "etc/cmdline.d/00-flipslot.conf";
/// What an initramfs is made of.
#[derive(Debug)]
pub struct Recipe {
    /// The kernel modules that it gets, and no others.
    pub drivers: BTreeSet<String>,
    /// The root filesystem.
    pub filesystem: Filesystem,
    /// Whether it brings microcode for the processor.
    pub microcode: Microcode,
}

/// Whether an initramfs brings microcode, where the image has some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Microcode {
    /// It does.
    Early,
    /// A guest gets it from its host; and looking for what is not there takes dracut half a second.
    Without,
}

/// Makes the uncompressed initramfs of `kernel` at `output`, a path in the chamber.
pub fn run(chamber: &Chamber, root: &Root, kernel: &Kernel, (recipe, output): (&Recipe, &str)) -> Result<()> {
    let has_microcode = MICROCODE.iter().any(|folder| root.list(folder).is_ok_and(|names| !names.is_empty()));
    let microcode = match recipe.microcode {
        Microcode::Early if has_microcode => "--early-microcode",
        _ => "--no-early-microcode",
    };
    agent::IN_INITRAMFS.iter().try_for_each(|(path, text)| chamber.put(&format!("{INCLUDED}/{path}"), text))?;
    let filesystem = recipe.filesystem.kind();
    if filesystem.early {
        // dracut's own module for btrfs does the same; but it is for roots of several disks, and wants
        // a program in the image that most have not (modules.d/90btrfs).
        chamber.put(&format!("{INCLUDED}/{EARLY}"), &format!("rd.driver.pre={}\n", filesystem.name))?;
    }
    // A system without systemd, or with an older dracut, does not have all of them.
    let known = root.list(FOLDER)?;
    let is_known = |name: &&str| known.iter().any(|folder| folder.get(2..) == Some(*name));
    let modules = MODULES.into_iter().filter(is_known).collect::<Vec<_>>().join(" ");
    let mut arguments = vec![
        "--force",
        "--quiet",
        "--kver",
        kernel.version.as_str(),
        // The machine that this runs on is not the one that boots.
        "--no-hostonly",
        "--no-hostonly-cmdline",
        // Compression was 38 of dracut's 43 s; see boot/compress.rs.
        "--no-compress",
        // Debian's has no strip(1) in an image, and stripping takes longer than it saves.
        "--nostrip",
        // Looking for equal files takes longer than unpacking them twice.
        "--nohardlink",
        "--reproducible",
        microcode,
        "--include",
        INCLUDED,
        "/",
        "--filesystems",
        filesystem.name,
        "--modules",
        &modules,
    ];
    let drivers = recipe.drivers.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    // An empty list would be no list: dracut would look for drivers by itself.
    arguments.extend(["--drivers", if drivers.is_empty() { filesystem.name } else { &drivers }]);
    arguments.push(output);
    chamber.run("dracut", &arguments).map(drop).context("making the initramfs")
}
