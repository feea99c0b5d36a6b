//! Configurations of PXELINUX (syslinux wiki, "Config" and "PXELINUX"), which loads by TFTP.

use crate::error::Result;
use crate::forms::netboot::boot::Boot;
use crate::forms::netboot::images::IMAGES;
use crate::forms::netboot::loaders::{OF_PXELINUX, Program, put_file};
use crate::publish::described::{INITRD, KERNEL};
use std::path::Path;

/// File name of a host's configuration.
pub const FILE: &str = "pxelinux.cfg";
/// The programs: the loader, and the library that it needs.
const PROGRAMS: [Program; 2] = [
    Program {
        path: "loaders/pxelinux.0",
        places: &[
            "/usr/lib/PXELINUX/pxelinux.0",
            "/usr/lib/syslinux/bios/pxelinux.0",
            "/usr/share/syslinux/pxelinux.0",
        ],
    },
    Program {
        path: "loaders/ldlinux.c32",
        places: &[
            "/usr/lib/syslinux/modules/bios/ldlinux.c32",
            "/usr/lib/syslinux/bios/ldlinux.c32",
            "/usr/share/syslinux/ldlinux.c32",
        ],
    },
];
const HINT: &str = "install it: apt-get install pxelinux syslinux-common (Fedora: syslinux-tftpboot)";

/// Returns the configuration of a host. `IPAPPEND 2` adds `BOOTIF=`.
pub fn host(boot: &Boot) -> String {
    let Boot { host, image, cmdline, .. } = boot;
    format!(
        "# {host}, by flipslot netboot\n\
         DEFAULT {host}\n\
         LABEL {host}\n\
         KERNEL /{IMAGES}/{image}/{KERNEL}\n\
         INITRD /{IMAGES}/{image}/{INITRD}\n\
         APPEND {cmdline} flipslot.host={host}\n\
         IPAPPEND 2\n"
    )
}

/// Writes the programs, and the configuration of a machine that is not known: it goes on with what its firmware tries
/// next.
pub fn put(folder: &Path) -> Result<()> {
    PROGRAMS.iter().try_for_each(|program| program.must_copy_to(folder, HINT))?;
    let unknown = "# by flipslot netboot\n\
                   DEFAULT next\n\
                   LABEL next\n\
                   SAY flipslot: no host has the MAC address or the UUID of this machine\n\
                   LOCALBOOT -1\n";
    put_file(&folder.join(OF_PXELINUX).join("default"), unknown.as_bytes())
}
