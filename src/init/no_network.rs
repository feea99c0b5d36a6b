//! An initramfs for disks, which reaches no network and unpacks no layers.

use crate::error::{Result, failed};
use crate::init::devices::Events;
use crate::init::image_file::Mounted;
use crate::init::load::Loader;
use crate::init::source::Fetched;
use crate::init::words::Words;
use anyhow::Error;

/// Fails.
pub fn fetch(url: &str, _: &str, _: (&Words, &Events), _: &mut Loader) -> Result<Fetched<String>> {
    Err(cannot(&format!("{url} is on a server")))
}

/// Fails.
pub fn pull(reference: &str, _: (&Words, &Events), _: &mut Loader) -> Result<Fetched<()>> {
    Err(cannot(&format!("{reference} is in a registry")))
}

/// Fails.
pub fn unpack_archive(file: &str, _: bool, _: &Words) -> Result<()> {
    Err(cannot(&format!("{file} is an archive of layers")))
}

/// Does nothing.
pub fn start_another(_: &Mounted) -> Result<()> {
    Ok(())
}

/// Does nothing.
pub fn warn_of_another(_: &str) {}

/// Fails.
pub fn used() -> Result<u64> {
    Err(cannot("the root is unpacked"))
}

fn cannot(what: &str) -> Error {
    failed(format!("{what}, and this initramfs is for disks"), "make one: flipslot netboot")
}
