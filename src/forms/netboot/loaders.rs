//! Files for boot loaders and the servers that hand them out. Names, addresses and words that these files could be read
//! differently with were refused before (request/netboot.rs).

use crate::disk::new::file::Existing;
use crate::error::Result;
use crate::forms::netboot::boot::Boot;
use crate::forms::netboot::images::IMAGES;
use crate::publish::described::{INITRD, KERNEL};
use crate::publish::written_file::filled;
use anyhow::Context;
use std::fs;
use std::path::Path;

/// File name of a script of iPXE.
pub const SCRIPT: &str = "boot.ipxe";

/// Returns the script of a host.
pub fn host(url: &str, boot: &Boot) -> String {
    let Boot { host, image, cmdline, .. } = boot;
    format!(
        "#!ipxe\n\
         # {host}, by flipslot netboot\n\
         kernel {url}/{IMAGES}/{image}/{KERNEL} {cmdline} initrd={INITRD} BOOTIF=01-${{netX/mac:hexhyp}} flipslot.host={host}\n\
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

/// Returns a configuration for dnsmasq, to which the addresses to hand out are added.
pub fn dnsmasq(folder: &Path, url: &str) -> String {
    format!(
        "# Written by each run of flipslot netboot: include it in a file of your own, conf-file={folder}/dnsmasq.conf\n\
         # That one says which addresses to hand out, as in\n\
         #   dhcp-range=10.0.0.100,10.0.0.200\n\
         # or beside a DHCP server that is there already:\n\
         #   dhcp-range=10.0.0.0,proxy\n\
         port=0\n\
         enable-tftp\n\
         tftp-root={folder}\n\
         dhcp-match=set:ipxe,175\n\
         dhcp-match=set:efi,option:client-arch,7\n\
         dhcp-match=set:efi,option:client-arch,9\n\
         dhcp-boot=tag:!ipxe,tag:!efi,loaders/undionly.kpxe\n\
         dhcp-boot=tag:!ipxe,tag:efi,loaders/ipxe.efi\n\
         dhcp-boot=tag:ipxe,{url}/{SCRIPT}\n",
        folder = folder.display()
    )
}

/// Programs that a machine without iPXE loads first, as distributions install them (Debian's package ipxe).
const PROGRAMS: [(&str, [&str; 2]); 2] = [
    ("undionly.kpxe", ["/usr/lib/ipxe/undionly.kpxe", "/usr/share/ipxe/undionly.kpxe"]),
    ("ipxe.efi", ["/usr/lib/ipxe/ipxe.efi", "/usr/share/ipxe/ipxe-x86_64.efi"]),
];

/// Copies them into the folder, as far as this machine has them; machines with iPXE in their firmware need none.
pub fn copy_to(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for (name, places) in PROGRAMS {
        let Some(program) = places.iter().find_map(|place| fs::read(place).ok()) else { continue };
        let path = folder.join(name);
        if fs::read(&path).ok().as_ref() != Some(&program) {
            filled(&path, "partial", Existing::Replace, &program)?.publish()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_loads_its_kernel_with_its_words_and_its_initramfs() {
        let script = host("http://srv/boot", &Boot::new("rack1", "sha256-ab", "root=flipslot:/image ro"));
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
