//! A configuration of dnsmasq(8), which answers machines that boot from the network.

use crate::forms::netboot::loaders::{for_bios, for_uefi};
use crate::words::loader::Loader;
use std::fmt::Write;
use std::path::Path;

/// Start of a line for a network in which another server hands out addresses; without it, it is a comment.
pub const PROXY: &str = "#pxe-service=";

/// Returns the configuration for a folder, to which the addresses to hand out are added. The first of the loaders that
/// fits a machine's firmware is its own.
pub fn configuration(folder: &Path, url: &str, loaders: &[Loader]) -> String {
    let mut text = format!(
        "# Written by each run of flipslot netboot: include it in a file of your own, conf-file={folder}/dnsmasq.conf\n\
         # That one says which addresses to hand out, as in\n\
         #   dhcp-range=10.0.0.100,10.0.0.200\n\
         # or beside a DHCP server that is there already:\n\
         #   dhcp-range=10.0.0.0,proxy\n\
         # with the lines {PROXY} at the end, without their #,\n\
         # and, unless it is to answer questions of DNS, too:\n\
         #   port=0\n\
         enable-tftp\n\
         tftp-root={folder}\n\
         dhcp-match=set:ipxe,175\n\
         dhcp-match=set:bios,option:client-arch,0\n\
         dhcp-match=set:efi,option:client-arch,7\n\
         dhcp-match=set:efi,option:client-arch,9\n",
        folder = folder.display()
    );
    let mut proxy = String::new();
    let bios = loaders.first().map(|loader| (*loader, for_bios(*loader)));
    let uefi = loaders.iter().find_map(|loader| Some((*loader, for_uefi(*loader)?)));
    for (tag, program) in [("bios", bios), ("efi", uefi)] {
        match program {
            // A machine that runs iPXE, from its firmware or by what it was handed, takes the script.
            Some((Loader::Ipxe, program)) => {
                let _ = writeln!(text, "dhcp-boot=tag:!ipxe,tag:{tag},{program}");
                let _ = writeln!(text, "dhcp-boot=tag:ipxe,tag:{tag},{url}/boot.ipxe");
            }
            Some((_, program)) => _ = writeln!(text, "dhcp-boot=tag:{tag},{program}"),
            None => {}
        }
    }
    // Beside another server, dnsmasq answers for services alone (dnsmasq(8), --pxe-service).
    for (at, boot) in text.lines().filter_map(|line| line.strip_prefix("dhcp-boot=")?.rsplit_once(',')) {
        let kinds: &[&str] = if at.ends_with("tag:bios") { &["x86PC"] } else { &["X86-64_EFI", "BC_EFI"] };
        kinds.iter().for_each(|kind| _ = writeln!(proxy, "{PROXY}{at},{kind},flipslot,{boot}"));
    }
    text + &proxy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_firmware_is_handed_the_first_loader_that_fits() {
        let boots = |loaders: &[Loader]| {
            let text = configuration(Path::new("/srv"), "http://srv", loaders);
            text.lines().filter(|line| line.starts_with("dhcp-boot")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            boots(&[Loader::Pxelinux, Loader::Grub]),
            ["dhcp-boot=tag:bios,loaders/pxelinux.0", "dhcp-boot=tag:efi,loaders/grub/core.efi"]
        );
        assert_eq!(boots(&[Loader::Grub])[0], "dhcp-boot=tag:bios,loaders/grub/core.0");
        assert_eq!(
            boots(&[Loader::Ipxe])[..2],
            ["dhcp-boot=tag:!ipxe,tag:bios,loaders/undionly.kpxe", "dhcp-boot=tag:ipxe,tag:bios,http://srv/boot.ipxe"]
        );
        let text = configuration(Path::new("/srv"), "http://srv", &[Loader::Ipxe]);
        let proxy = "#pxe-service=tag:ipxe,tag:efi,X86-64_EFI,flipslot,http://srv/boot.ipxe";
        assert!(text.lines().any(|line| line == proxy), "{text}");
        assert_eq!(boots(&[Loader::Pxelinux]), ["dhcp-boot=tag:bios,loaders/pxelinux.0"], "UEFI has none");
    }
}
