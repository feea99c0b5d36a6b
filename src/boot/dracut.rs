//! dracut's command line: the image's own dracut makes the initramfs, with what this root needs
//! and no more, and leaves compression to us.

use crate::boot::chamber::Chamber;
use crate::boot::hardware::Hardware;
use crate::boot::initramfs::Wanted;
use crate::boot::kernel::Kernel;
use crate::error::Result;
use crate::filesystem::{Root, Tree};
use anyhow::Context;

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
/// Path in the initramfs, and text. Units are started by settings of targets, not by links: dracut
/// copies what a link leads to.
const FILES: [(&str, &str); 6] = [
    ("usr/lib/systemd/system/flipslot-init.service", include_str!("../../agent/initramfs-init.service")),
    (
        "usr/lib/systemd/system/initrd-switch-root.target.d/flipslot.conf",
        include_str!("../../agent/initramfs-init.conf"),
    ),
    ("usr/lib/flipslot/look-for-init", include_str!("../../agent/initramfs-init")),
    ("usr/lib/systemd/system/flipslot-deadline.service", include_str!("../../agent/initramfs-deadline.service")),
    ("usr/lib/systemd/system/sysinit.target.d/flipslot.conf", include_str!("../../agent/initramfs-deadline.conf")),
    ("usr/lib/flipslot/deadline", include_str!("../../agent/initramfs-deadline")),
];

/// Makes the uncompressed initramfs of `kernel` at `output`, a path in the chamber.
pub fn run(chamber: &Chamber, root: &Root, kernel: &Kernel, (wanted, output): (Wanted, &str)) -> Result<()> {
    let (hardware, filesystem) = (wanted.hardware, wanted.filesystem.kind());
    // A guest gets its microcode from its host; and looking for what is not there takes dracut
    // half a second.
    let has_microcode = MICROCODE.iter().any(|folder| root.list(folder).is_ok_and(|names| !names.is_empty()));
    let microcode = match hardware {
        Hardware::Generic if has_microcode => "--early-microcode",
        _ => "--no-early-microcode",
    };
    FILES.iter().try_for_each(|(path, text)| chamber.put(&format!("{INCLUDED}/{path}"), text))?;
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
    let mut drivers = hardware.drivers(root, kernel)?;
    drivers.push(filesystem.name.to_owned());
    drivers.extend(filesystem.helpers.iter().map(ToString::to_string));
    let drivers = drivers.join(" ");
    arguments.extend(["--drivers", &drivers]);
    arguments.push(output);
    chamber.run("dracut", &arguments).map(drop).context("making the initramfs")
}
