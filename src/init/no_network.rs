//! An initramfs for disks, which reaches no network and unpacks no layers.

use crate::error::{Result, failed};
use crate::init::devices::Events;
use crate::init::image_file::Mounted;
use crate::init::load::Loader;
use crate::init::source::Fetched;
use crate::init::words::Words;
use anyhow::Error;

/// Refuses an image on a server: this build has no network.
pub fn fetch(url: &str, _: &str, _: (&Words, &Events), _: &mut Loader) -> Result<Fetched<String>> {
    Err(cannot(&format!("{url} is on a server")))
}

/// Refuses an image of a registry: this build has no network.
pub fn pull(reference: &str, _: (&Words, &Events), _: &mut Loader) -> Result<Fetched<()>> {
    Err(cannot(&format!("{reference} is in a registry")))
}

/// Refuses an archive of layers: this build unpacks none.
pub fn unpack_archive(file: &str, _: bool, _: &Words) -> Result<()> {
    Err(cannot(&format!("{file} is an archive of layers")))
}

/// Keeps the running kernel: an initramfs of a disk is that of its slot.
pub fn start_another(_: &Mounted) -> Result<()> {
    Ok(())
}

/// Says nothing, for the same reason.
pub fn warn_of_another(_: &str) {}

/// Refuses a root of files: this build makes none.
pub fn used() -> Result<u64> {
    Err(cannot("the root is unpacked"))
}

fn cannot(what: &str) -> Error {
    failed(format!("this initramfs has no network: {what}"), "boot the initramfs that flipslot netboot writes")
}
