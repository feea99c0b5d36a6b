//! Files for boot loaders and for the servers that hand them out. Names, addresses and words that these files could be
//! read differently with were refused before (request/netboot.rs).

pub mod dnsmasq;
mod grub;
mod ipxe;
pub mod pxelinux;

use crate::disk::new::file::Existing;
use crate::error::{Result, failed, refused};
use crate::forms::netboot::boot::Boot;
use crate::mount::scratch::Scratch;
use crate::publish::written_file::filled;
use crate::words::loader::Loader;
use anyhow::Context;
use std::fs;
use std::path::Path;

/// Folder of the boot loaders.
pub const LOADERS: &str = "loaders";
/// Folder in which PXELINUX looks for its configuration, beside its program (syslinux wiki, "PXELINUX").
pub const OF_PXELINUX: &str = "loaders/pxelinux.cfg";

/// Returns the path of the program that a BIOS loads.
fn for_bios(loader: Loader) -> &'static str {
    match loader {
        Loader::Ipxe => "loaders/undionly.kpxe",
        Loader::Pxelinux => "loaders/pxelinux.0",
        Loader::Grub => "loaders/grub/core.0",
    }
}

/// Returns the path of the program that UEFI loads; `None` for a loader that is for BIOS alone.
fn for_uefi(loader: Loader) -> Option<&'static str> {
    match loader {
        Loader::Ipxe => Some("loaders/ipxe.efi"),
        Loader::Pxelinux => None,
        Loader::Grub => Some("loaders/grub/core.efi"),
    }
}

/// Returns the files of a host, by name: one for each loader, so that any of them boots it.
pub fn of_host(url: &str, boot: &Boot) -> [(&'static str, String); 3] {
    [(ipxe::SCRIPT, ipxe::host(url, boot)), (pxelinux::FILE, pxelinux::host(boot)), (grub::FILE, grub::host(boot))]
}

/// Returns the address at which machines look for a folder. Refuses one that holds nothing to boot.
pub fn address_of(folder: &Path) -> Result<String> {
    let path = folder.join(ipxe::SCRIPT);
    let script = fs::read_to_string(&path).unwrap_or_default();
    ipxe::address_of(&script).map(str::to_owned).ok_or_else(|| {
        let found = format!("{} is not a folder of flipslot netboot: it has no {}", folder.display(), ipxe::SCRIPT);
        refused(found, "write it first: flipslot netboot FOLDER --url http://ADDRESS/boot --image … --host …")
    })
}

/// Writes into `folder` what machines start with. Returns the programs that this machine does not have, and the folder
/// neither.
pub fn put(folder: &Path, url: &str, loaders: &[Loader], scratch: &Scratch) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    put_file(&folder.join(ipxe::SCRIPT), ipxe::first(url).as_bytes())?;
    for loader in loaders {
        match loader {
            Loader::Ipxe => {
                for program in &ipxe::PROGRAMS {
                    if !program.copy_to(folder)? && !folder.join(program.path).exists() {
                        missing.push(program.path);
                    }
                }
            }
            Loader::Pxelinux => pxelinux::put(folder)?,
            Loader::Grub => grub::put(folder, scratch)?,
        }
    }
    Ok(missing)
}

/// A program that a distribution installs.
struct Program {
    /// Path in the folder.
    path: &'static str,
    /// Paths on this machine, of which one is enough.
    places: &'static [&'static str],
}

impl Program {
    /// Copies it, if this machine has it; returns false if it has not.
    fn copy_to(&self, folder: &Path) -> Result<bool> {
        let Some(bytes) = self.places.iter().find_map(|place| fs::read(place).ok()) else { return Ok(false) };
        put_file(&folder.join(self.path), &bytes).map(|()| true)
    }

    /// Copies it, and fails if this machine does not have it.
    fn must_copy_to(&self, folder: &Path, hint: &str) -> Result<()> {
        if self.copy_to(folder)? {
            return Ok(());
        }
        Err(failed(format!("this machine has no {}", self.places.join(" and no ")), hint))
    }
}

/// Writes a file in one step, unless it has these bytes already.
pub fn put_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).ok().as_deref() == Some(bytes) {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    filled(path, "partial", Existing::Replace, bytes)?.publish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loader_gives_the_kernel_the_same_words() {
        let boot =
            Boot::new("rack1", ("web", "sha256-ab"), "root=flipslot:http://srv/root@sha256:ab ro console=ttyS0,115200");
        for (name, text) in of_host("http://srv/boot", &boot) {
            for word in boot.cmdline.split(' ').chain(["flipslot.host=rack1"]) {
                assert!(text.contains(word), "{name}: {text}");
            }
            assert!(text.contains("images/sha256-ab/vmlinuz") && text.contains("images/sha256-ab/initrd"), "{text}");
        }
    }
}
