//! A root of files in memory: the layers of an image, with the layer of flipslot copied over them. No overlay lies under
//! it, so that a system may use one of its own (podman, docker).

use crate::error::{Result, failed};
use crate::init::copy_layer::copy_layer;
use crate::init::host_layer::HostLayer;
use crate::init::memory::{available, refuse_too_large, room};
use crate::init::overlay::{FOLDER, LAYER, WRITABLE, cover_folder, mount_scratch};
use crate::init::root::PLACE;
use crate::init::words::Overlay;
use crate::layer::Budget;
use crate::oci::Image;
use crate::unpack::{At, Task};
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::fs::statvfs;
use rustix::mount::{MountFlags, mount, mount_remount};
use std::ffi::CString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Files in an image: each takes a kilobyte of the kernel's memory. A Debian with a desktop has 400,000.
const ENTRIES: u64 = 4_000_000;

/// Memory that the files may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Memory that is left.
    Beside,
    /// Memory that is left, and that of the layers, which are in memory and are given back.
    WithThat,
}

/// Fills the place of the root with the files of an image.
pub fn unpack(image: &Image, of: Room) -> Result<()> {
    let room = match of {
        Room::Beside => {
            refuse_too_large(image.stored_bytes())?;
            room()?
        }
        Room::WithThat => room()?.saturating_add(image.stored_bytes()),
    };
    fs::create_dir_all(PLACE)?;
    let options = CString::new(format!("mode=0755,size={room},nr_inodes=0"))?;
    mount(c"tmpfs", PLACE, c"tmpfs", MountFlags::empty(), options.as_c_str())
        .context("mounting memory for the root")?;
    let hall = PathBuf::from(format!("{FOLDER}/unpack"));
    fs::create_dir_all(&hall).context("making a folder")?;
    let budget = Budget { bytes: room, entries: ENTRIES };
    image
        .unpack_at(&Task { place: PLACE.into(), hall, budget, at: At::Initramfs }, |_| {})
        .with_context(|| format!("unpacking into {} of memory", Bytes(room)))?;
    Ok(())
}

/// Copies the layer of flipslot over the root, and those of the host over that. What is written later has half of the
/// memory that is left, or as much as the overlay says.
pub fn complete(layers: &[HostLayer], overlay: &Overlay) -> Result<()> {
    copy_layer(Path::new(LAYER), Path::new(PLACE)).context("copying what flipslot adds to the image")?;
    // Both are in memory.
    fs::remove_dir_all(LAYER).or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    for layer in layers {
        copy_layer(Path::new(&layer.files), Path::new(PLACE)).context("copying the layer of this host")?;
    }
    limit(overlay)
}

/// Returns the memory that the files of the root take, in bytes.
pub fn used() -> Result<u64> {
    let found = statvfs(PLACE).context("reading the size of the root")?;
    Ok((found.f_blocks - found.f_bfree).saturating_mul(found.f_frsize))
}

/// Sets the size that the root may grow to.
fn limit(overlay: &Overlay) -> Result<()> {
    let size = match overlay {
        Overlay::Ram(Some(size)) => size.clone(),
        Overlay::Ram(None) | Overlay::Nothing => used()?.saturating_add(available()? / 2).to_string(),
        Overlay::Data(kind) | Overlay::Other(kind) => {
            let found = format!("flipslot.overlay={kind} is not known for a root of files in memory");
            return Err(failed(found, "use flipslot.overlay=ram, ram:SIZE or none"));
        }
    };
    let flags = if *overlay == Overlay::Nothing { MountFlags::RDONLY } else { MountFlags::empty() };
    let options = CString::new(format!("size={size}"))?;
    mount_remount(PLACE, flags, options.as_c_str())
        .with_context(|| format!("limiting the root's memory to {size} (flipslot.overlay=)"))?;
    if *overlay == Overlay::Nothing {
        mount_scratch(None)?;
        WRITABLE.iter().try_for_each(|folder| cover_folder(PLACE, folder))?;
    }
    Ok(())
}
