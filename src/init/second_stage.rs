//! The second stage: an image in the root, with what a full initramfs has, of which only what is used is read. Files in
//! memory lie over it, and the root is mounted in it already.

use crate::error::Result;
use crate::init::hand_over::{Handed, hand_over};
use crate::init::image_file::mount_file;
use crate::init::load::Loader;
use crate::init::root::PLACE;
use crate::init::words::Words;
use anyhow::Context;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_move, unmount};
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Place of the image.
const IMAGE: &str = "/stage2";
/// Place of the second stage: memory, in which each folder of the image is mounted. Older systemd takes
/// only a root in memory for an initramfs (in_initrd, in src/basic/util.c of those).
const BOTH: &str = "/both";
/// Place in it for what is written over these folders.
const MEMORY: &str = ".flipslot-scratch";
/// The second stage's own init, systemd in what dracut makes.
const INITS: [&str; 1] = ["/init"];

/// Mounts the second stage and hands over to it; returns only if that fails.
pub fn start(image: &str, filesystem: &str, loader: &mut Loader, words: &Words) -> Result<()> {
    fs::create_dir_all(BOTH)?;
    let path = format!("{PLACE}/{image}");
    mount_file("the second stage", &path, filesystem, IMAGE, loader)?;
    mount(c"tmpfs", BOTH, c"tmpfs", MountFlags::NODEV, c"mode=0755").context("mounting memory")?;
    for entry in fs::read_dir(IMAGE).context("reading the second stage")? {
        show(&entry?.path()).with_context(|| format!("mounting the second stage {path}"))?;
    }
    // The folders keep what they need of it, and it is freed with them.
    unmount(IMAGE, UnmountFlags::DETACH).context("detaching the second stage")?;
    mount_move(PLACE, format!("{BOTH}{PLACE}")).context("moving the root into the second stage")?;
    hand_over(&Handed { place: BOTH, inits: &INITS }, words)
}

/// Puts one node of the image's root directory into the second stage.
fn show(node: &Path) -> Result<()> {
    let name = node.file_name().unwrap_or_default();
    let place = Path::new(BOTH).join(name);
    let found = fs::symlink_metadata(node)?;
    let kind = found.file_type();
    if kind.is_symlink() {
        return Ok(symlink(fs::read_link(node)?, place)?);
    }
    if kind.is_file() {
        return Ok(fs::copy(node, place).map(drop)?);
    }
    if !kind.is_dir() {
        return Ok(());
    }
    fs::create_dir(&place).and_then(|()| fs::set_permissions(&place, found.permissions()))?;
    if fs::read_dir(node)?.next().is_none() {
        return Ok(());
    }
    let scratch = Path::new(BOTH).join(MEMORY).join(name);
    let [upper, work] = ["upper", "work"].map(|part| scratch.join(part));
    fs::create_dir_all(&upper).and_then(|()| fs::create_dir(&work))?;
    fs::set_permissions(&upper, found.permissions())?;
    let (lower, upper, work) = (node.display(), upper.display(), work.display());
    let layers = CString::new(format!("lowerdir={lower},upperdir={upper},workdir={work}"))?;
    Ok(mount(c"overlay", &place, c"overlay", MountFlags::empty(), layers.as_c_str())?)
}
