//! Configurations of PXELINUX (syslinux wiki, "Config" and "PXELINUX"), which loads by TFTP.

use crate::error::Result;
use crate::forms::netboot::boot::Boot;
use crate::forms::netboot::images::IMAGES;
use crate::forms::netboot::loaders::{OF_PXELINUX, Program, put_file};
use crate::publish::described::{INITRD, KERNEL};
use std::path::Path;
use uuid::Uuid;

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

/// Returns the configuration of a host. `::` leads to the root of the server, and not to the loader's folder; `IPAPPEND 2`
/// adds `BOOTIF=`.
pub fn host(boot: &Boot) -> String {
    let (Boot { host, image, cmdline, .. }, name) = (boot, boot.name_word());
    format!(
        "# {host}, by flipslot netboot\n\
         DEFAULT {host}\n\
         LABEL {host}\n\
         KERNEL ::/{IMAGES}/{image}/{KERNEL}\n\
         INITRD ::/{IMAGES}/{image}/{INITRD}\n\
         APPEND {cmdline} {name}\n\
         IPAPPEND 2\n"
    )
}

/// Returns the names of the files that PXELINUX asks for in a machine with these addresses: by the kind of hardware (1 is
/// Ethernet) and the MAC address, and by the UUID, whose first three parts it writes in the order of the bytes in memory
/// (SMBIOS specification, 7.2.1), unless the firmware does so already.
pub fn names<'h>(macs: &'h [String], uuids: &'h [String]) -> impl Iterator<Item = String> + 'h {
    let swapped = |uuid: &String| match Uuid::try_parse(uuid) {
        Ok(uuid) => Uuid::from_bytes_le(*uuid.as_bytes()).hyphenated().to_string(),
        Err(_) => uuid.clone(),
    };
    let by_uuid = uuids.iter().flat_map(move |uuid| [uuid.clone(), swapped(uuid)]);
    macs.iter().map(|mac| format!("01-{mac}")).chain(by_uuid)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_asked_for_as_it_stands_in_memory() {
        let [macs, uuids] = ["52-54-00-12-34-56", "4c4c4544-004b-3510-804b-b4c04f564431"].map(|one| [one.to_owned()]);
        let names: Vec<String> = names(&macs, &uuids).collect();
        // Seen in QEMU.
        assert_eq!(names, ["01-52-54-00-12-34-56", &uuids[0], "44454c4c-4b00-1035-804b-b4c04f564431"]);
    }
}
