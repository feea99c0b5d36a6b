//! dracut's command line: the image's own dracut makes the initramfs, with what this root needs
//! and no more, and leaves compression to us.

use crate::boot::chamber::Chamber;
use crate::boot::hardware::Hardware;
use crate::boot::kernel::Kernel;
use crate::error::Result;
use anyhow::Context;

/// Modules of dracut that a root on a plain partition needs nothing of. Each is either asked for
/// by name elsewhere (a crypttab, an LVM root) or shows something on a screen.
const OMITTED: &str = "plymouth bluetooth drm i18n lvm lvmmerge lvmthinpool-monitor mdraid dmraid multipath dm crypt \
                       crypt-gpg crypt-loop nfs iscsi fcoe nbd nvmf cifs network network-legacy network-manager \
                       systemd-networkd resume memstrack rngd qemu-net convertfs pcsc fido2 pkcs11 tpm2-tss \
                       systemd-repart systemd-sysext systemd-veritysetup systemd-integritysetup systemd-cryptsetup \
                       systemd-pcrphase systemd-portabled systemd-coredump biosdevname usrmount virtiofs";

/// Makes the uncompressed initramfs of `kernel` at `output`, a path in the chamber.
pub fn run(chamber: &Chamber, kernel: &Kernel, hardware: Hardware, output: &str) -> Result<()> {
    let microcode = match hardware {
        // A guest gets its microcode from its host.
        Hardware::Qemu => "--no-early-microcode",
        Hardware::Generic => "--early-microcode",
    };
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
        "--reproducible",
        microcode,
        "--filesystems",
        "ext4",
        "--omit",
        OMITTED,
    ];
    // The root filesystem's module goes in with --filesystems; its checksums with it, through
    // modules.softdep. `--drivers` would take exactly these and leave the rest out.
    let drivers =
        hardware.drivers().map(|drivers| [drivers, &["ext4", "crc32c_generic", "crc32c_intel"]].concat().join(" "));
    if let Some(drivers) = &drivers {
        arguments.extend(["--drivers", drivers]);
    }
    arguments.push(output);
    chamber.run("dracut", &arguments).map(drop).context("making the initramfs")
}
