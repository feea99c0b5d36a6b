//! Provides the initramfs of a slot: makes one with the image's dracut, or takes the image's own.

use crate::chamber::Chamber;
use crate::error::Result;
use crate::initramfs::compress::Method;
use crate::initramfs::dracut;
use crate::initramfs::dracut::Recipe;
use crate::initramfs::read::contents::Contents;
use crate::initramfs::read::counted::Stream;
use crate::initramfs::read::cpio;
use crate::initramfs::trial_units;
use crate::kernel::find::Kernel;
use crate::layer::LayerPath;
use crate::mount::scratch::Scratch;
use crate::root::mounted::directory::Root;
use crate::root::tree::Tree;
use anyhow::Context;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Path in the chamber's memory to which dracut writes.
const RAW: &str = "/run/flipslot-initramfs";

/// Makes the initramfs of `kernel` according to `recipe`, in the slot that is mounted at `slot`. Returns its
/// path there.
pub fn make(scratch: &Scratch, slot: &Path, root: &Root, kernel: &Kernel, recipe: &Recipe) -> Result<String> {
    let chamber = Chamber::open(scratch, slot)?;
    dracut::run(&chamber, root, kernel, (recipe, RAW))?;
    let path = format!("boot/initramfs-{}.img", kernel.version);
    let mut file = create(root, &path)?;
    let raw = chamber.file(RAW).context("opening the initramfs that dracut made")?;
    let early = early_length(&raw)?;
    let mut reader = BufReader::with_capacity(1 << 20, &raw);
    reader.seek(SeekFrom::Start(0))?;
    // Microcode is read before anything can be unpacked (kernel: arch/x86/microcode.rst).
    io::copy(&mut reader.by_ref().take(early), &mut file).context("writing the initramfs")?;
    Method::of(root, kernel)?.compress(&mut reader, &file)?;
    drop(reader);
    drop(raw);
    chamber.close()?;
    Ok(path)
}

/// Returns the length in bytes of the archive that must stay uncompressed in front; 0 if there is none.
fn early_length(raw: &File) -> Result<u64> {
    let first = cpio::first(&mut Stream::new(raw, u64::MAX))?;
    Ok(if first.names.contains("early_cpio") { first.length } else { 0 })
}

/// Lists the paths at which a tree has an initramfs for a kernel: in `/boot` (Debian, Fedora, SUSE), beside the
/// modules (Fedora, ostree), beside the kernel (kernel-install(8)).
fn places(tree: &dyn Tree, kernel: &Kernel) -> Vec<String> {
    let version = &kernel.version;
    let mut places: Vec<String> = ["initrd.img-", "initramfs-", "initrd-"]
        .iter()
        .flat_map(|start| [format!("boot/{start}{version}"), format!("boot/{start}{version}.img")])
        .collect();
    let folders = [format!("usr/lib/modules/{version}"), format!("lib/modules/{version}")];
    let beside = kernel.path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    for folder in folders.into_iter().chain(beside) {
        places.extend(["initramfs.img", "initramfs", "initrd"].map(|name| format!("{folder}/{name}")));
    }
    places.retain(|path| tree.has_file(path));
    places
}

/// Returns the path of the initramfs that an image brings for a kernel, if it brings one.
pub fn of_image(tree: &dyn Tree, kernel: &Kernel) -> Option<String> {
    places(tree, kernel).into_iter().next()
}

/// Uses the image's own initramfs, at `own`. If that has systemd, copies it and appends the files that a slot on
/// trial needs, because the kernel unpacks archives one over the other. Returns the path in the slot of the
/// initramfs to load.
pub fn take(root: &Root, kernel: &Kernel, own: &str, contents: &Contents) -> Result<String> {
    if !trial_units::SYSTEMD.iter().any(|path| contents.has(path)) {
        return Ok(own.to_owned());
    }
    let path = format!("boot/initramfs-flipslot-{}.img", kernel.version);
    let mut bytes = root.open(own)?.with_context(|| format!("opening /{own}"))?;
    let mut file = create(root, &path)?;
    let length = io::copy(&mut bytes, &mut file).with_context(|| format!("copying /{own}"))?;
    // The next archive must begin at a multiple of 4, and the kernel finds the end of an lz4 stream by a
    // length of zero (lib/decompress_unlz4.c).
    let zeros = length.next_multiple_of(4) + 4 - length;
    let mut more = vec![0; usize::try_from(zeros)?];
    more.extend(cpio::write(&trial_units::IN_INITRAMFS.map(|(path, text)| (path, 0o100_644, text.as_bytes())))?);
    file.write_all(&more).with_context(|| format!("writing /{path}"))?;
    Ok(path)
}

/// Creates a file in the slot. Removes anything at its path first, without following a link.
fn create(root: &Root, path: &str) -> Result<File> {
    let path = LayerPath::clean(path.as_bytes())?;
    let (folder, name) = path.split().context("the root is not a file")?;
    let folder = match root.directory(&folder) {
        // An image that keeps its kernel with its modules may not have a /boot.
        Err(Errno::NOENT) => {
            mkdirat(root.fd(), folder.as_bytes(), Mode::from_raw_mode(0o755)).and_then(|()| root.directory(&folder))
        }
        folder => folder,
    }
    .context("opening /boot in the slot")?;
    match rustix::fs::unlinkat(&folder, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno).with_context(|| format!("removing {path} of the slot")),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file =
        openat(&folder, name, flags, Mode::RUSR | Mode::WUSR).with_context(|| format!("making {path} in the slot"))?;
    Ok(file.into())
}
