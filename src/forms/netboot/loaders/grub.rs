//! Configurations of GRUB (GRUB manual, "Network"), which loads by TFTP, and its programs.

use crate::boot::grub::quote::quote;
use crate::error::{Result, failed};
use crate::forms::disk::grub_programs::{HINT, here};
use crate::forms::netboot::boot::Boot;
use crate::forms::netboot::images::IMAGES;
use crate::forms::netboot::loaders::put_file;
use crate::mount::scratch::Scratch;
use crate::publish::described::{INITRD, KERNEL};
use crate::tool::Tool;
use anyhow::Context;
use std::fs;
use std::path::Path;

/// File name of a host's configuration.
pub const FILE: &str = "grub.cfg";
/// Folder of GRUB; its programs find their configuration there.
const FOLDER: &str = "/loaders/grub";
/// Platforms: names for grub-mkimage, folders of the modules, file names, and the modules that reach the network.
const PLATFORMS: [(&str, &str, &str, &[&str]); 2] = [
    ("i386-pc-pxe", "i386-pc", "core.0", &["pxe"]),
    ("x86_64-efi", "x86_64-efi", "core.efi", &["efinet", "all_video"]),
];
/// Modules that the configurations use, so that nothing is loaded later.
const MODULES: [&str; 11] =
    ["configfile", "echo", "linux", "minicmd", "net", "normal", "regexp", "sleep", "smbios", "terminal", "tftp"];

/// Returns the configuration of a host; `$mac` is set by the one that leads to it.
pub fn host(boot: &Boot) -> String {
    let Boot { host, image, cmdline, .. } = boot;
    let name = boot.name_word();
    let words: Vec<String> = cmdline.split_whitespace().map(quote).collect();
    format!(
        "# {host}, by flipslot netboot\n\
         echo 'flipslot: {host}'\n\
         linux /{IMAGES}/{image}/{KERNEL} {} BOOTIF=01-$mac {name}\n\
         initrd /{IMAGES}/{image}/{INITRD}\n\
         boot\n",
        words.join(" ")
    )
}

/// The configuration that every machine starts with: it goes on with that of its host, which does not come back. A file
/// over the network cannot be tested for. A machine that is not known goes on with what its firmware tries next.
const FIRST: &str = "\
# by flipslot netboot
regexp --set 1:a --set 2:b --set 3:c --set 4:d --set 5:e --set 6:f '^(..):(..):(..):(..):(..):(..)$' \"$net_default_mac\"
set mac=\"$a-$b-$c-$d-$e-$f\"
export mac
smbios --type 1 --get-uuid 8 --set uuid
source \"/by-mac/$mac/grub.cfg\"
source \"/by-uuid/$uuid/grub.cfg\"
echo \"flipslot: no host has the MAC address $net_default_mac or the UUID $uuid, or its files do not load\"
sleep 10
exit
";

/// Makes the programs, and writes them with their configuration.
pub fn put(folder: &Path, scratch: &Scratch) -> Result<()> {
    let (program, modules) = here().ok_or_else(|| failed("this machine has no GRUB for BIOS and UEFI", HINT))?;
    let place = folder.join(FOLDER.trim_start_matches('/'));
    for (platform, of_modules, name, more) in PLATFORMS {
        let output = scratch.path(name);
        let made = Tool::new(program)
            .args(["-O", platform, "-p", FOLDER, "-d"])
            .arg(modules.join(of_modules))
            .arg("-o")
            .arg(&output)
            .args(more.iter().chain(&MODULES))
            .hint(HINT)
            .run();
        made.with_context(|| format!("making GRUB's program for {platform}"))?;
        put_file(&place.join(name), &fs::read(&output).context("reading GRUB's program")?)?;
    }
    put_file(&place.join("grub.cfg"), FIRST.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_script() {
        let text = host(&Boot::new("rack1", ("web", "sha256-ab"), "quiet x=$root;reboot x=tty[0] x='a"));
        assert!(text.contains(r"vmlinuz 'quiet' 'x=$root;reboot' 'x=tty[0]' 'x='\''a' BOOTIF=01-$mac "), "{text}");
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("host", text.as_str()), ("first", FIRST)] {
            fs::write(folder.path().join(name), text).unwrap();
            Tool::new("grub-script-check").arg(folder.path().join(name)).run().unwrap();
        }
    }
}
