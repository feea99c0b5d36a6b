//! An initramfs for disks, which reaches no network and unpacks no layers.

use crate::error::{Result, failed};
use crate::init::devices::Events;
use crate::init::host_layer::HostLayer;
use crate::init::image_file::Mounted;
use crate::init::load::Loader;
use crate::init::source::{Fetched, RemoteFile};
use crate::init::words::{Overlay, Words};
use anyhow::Error;

/// Refuses an image on a server: this build has no network.
pub fn fetch(files: &[RemoteFile], _: (&Words, &Events), _: &mut Loader) -> Result<Fetched<Vec<String>>> {
    Err(cannot(&format!("{} is on a server", files.first().map_or("the image", |file| file.url.as_str()))))
}

/// An image that was pulled.
pub struct Pulled {
    /// Paths of the files that were fetched after it.
    pub files: Vec<String>,
    /// Digest of its manifest or index, in hexadecimal.
    pub digest: String,
}

/// Refuses an image of a registry: this build has no network.
pub fn pull(reference: &str, _: &[RemoteFile], _: (&Words, &Events), _: &mut Loader) -> Result<Fetched<Pulled>> {
    Err(cannot(&format!("{reference} is in a registry")))
}

/// Refuses an archive of layers: this build unpacks none.
pub fn unpack_archive(file: &str, _: bool) -> Result<()> {
    Err(cannot(&format!("{file} is an archive of layers")))
}

/// Keeps the running kernel: an initramfs of a disk is that of its slot.
pub fn start_another(_: &Mounted) -> Result<()> {
    Ok(())
}

/// Says nothing: the kernel of a disk is that of its slot.
pub fn warn_of_another(_: &str) {}

/// Refuses a root of files: this build makes none.
pub fn complete(_: &[HostLayer], _: &Overlay) -> Result<()> {
    Err(cannot("the root is unpacked"))
}

/// Refuses to measure a root of files, which this build does not make.
pub fn used() -> Result<u64> {
    Err(cannot("the root is unpacked"))
}

fn cannot(what: &str) -> Error {
    failed(format!("this initramfs has no network: {what}"), "boot the initramfs that flipslot netboot writes")
}
