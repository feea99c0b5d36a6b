//! Scripts of iPXE (ipxe.org/scripting).

use crate::forms::netboot::boot::Boot;
use crate::forms::netboot::images::IMAGES;
use crate::forms::netboot::loaders::Program;
use crate::publish::described::{INITRD, KERNEL};

/// File name of a script of iPXE.
pub const SCRIPT: &str = "boot.ipxe";

/// Returns the script of a host.
pub fn host(url: &str, boot: &Boot) -> String {
    let (Boot { host, image, cmdline, .. }, name) = (boot, boot.name_word());
    format!(
        "#!ipxe\n\
         # {host}, by flipslot netboot\n\
         kernel {url}/{IMAGES}/{image}/{KERNEL} {cmdline} initrd={INITRD} BOOTIF=01-${{netX/mac:hexhyp}} {name}\n\
         initrd --name {INITRD} {url}/{IMAGES}/{image}/{INITRD}\n\
         boot\n"
    )
}

/// Returns the script that every machine starts with: it goes on with that of its host. A machine that is not known goes
/// on with what its firmware tries next.
pub fn first(url: &str) -> String {
    format!(
        "#!ipxe\n\
         # by flipslot netboot\n\
         chain --autofree {url}/by-mac/${{netX/mac:hexhyp}}/{SCRIPT} ||\n\
         chain --autofree {url}/by-uuid/${{uuid}}/{SCRIPT} ||\n\
         echo flipslot: no host has the MAC address ${{netX/mac}} or the UUID ${{uuid}}, or its files do not load\n\
         exit\n"
    )
}

/// Returns the address in what [`first`] wrote.
pub fn address_of(script: &str) -> Option<&str> {
    let chained = script.lines().find_map(|line| line.strip_prefix("chain --autofree "))?;
    chained.split_once("/by-mac/").map(|(address, _)| address)
}

/// Programs for machines without iPXE, as distributions install them (Debian's package ipxe). A machine with iPXE in its
/// firmware needs none.
pub const PROGRAMS: [Program; 2] = [
    Program {
        path: "loaders/undionly.kpxe",
        places: &["/usr/lib/ipxe/undionly.kpxe", "/usr/share/ipxe/undionly.kpxe"],
    },
    Program { path: "loaders/ipxe.efi", places: &["/usr/lib/ipxe/ipxe.efi", "/usr/share/ipxe/ipxe-x86_64.efi"] },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_script_says_where_the_folder_is() {
        assert_eq!(address_of(&first("http://10.0.0.1/boot")), Some("http://10.0.0.1/boot"));
        assert_eq!(address_of("#!ipxe\nexit\n"), None);
    }

    #[test]
    fn a_host_loads_its_kernel_with_its_words_and_its_initramfs() {
        let script = host("http://srv/boot", &Boot::new("rack1", ("web", "sha256-ab"), "root=flipslot:/image ro"));
        let lines: Vec<&str> = script.lines().collect();
        assert_eq!(lines[0], "#!ipxe");
        assert_eq!(
            lines[2],
            "kernel http://srv/boot/images/sha256-ab/vmlinuz root=flipslot:/image ro initrd=initrd \
             BOOTIF=01-${netX/mac:hexhyp} flipslot.host=rack1"
        );
        assert_eq!(lines[3], "initrd --name initrd http://srv/boot/images/sha256-ab/initrd");
    }
}
