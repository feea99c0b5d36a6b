//! The initramfs of a slot: made by the image's dracut, looked into, compressed, written.

use crate::boot::chamber::Chamber;
use crate::boot::compress::Method;
use crate::boot::cpio;
use crate::boot::dracut;
use crate::boot::hardware::Hardware;
use crate::boot::kernel::{self, Kernel};
use crate::boot::stream::Stream;
use crate::disk::mount::Scratch;
use crate::error::{Result, failed};
use crate::filesystem::{Filesystem, Root, Tree};
use crate::layer::LayerPath;
use anyhow::Context;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Where dracut writes, in the chamber's memory.
const RAW: &str = "/run/flipslot-initramfs";

/// What an initramfs must be able to start.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The machine that it is for.
    pub hardware: Hardware,
    /// The root filesystem.
    pub filesystem: Filesystem,
}

/// Makes the initramfs of `kernel` in the slot that is mounted at `slot`; returns its path there.
pub fn make(scratch: &Scratch, slot: &Path, root: &Root, kernel: &Kernel, wanted: Wanted) -> Result<String> {
    let chamber = Chamber::open(scratch, slot)?;
    dracut::run(&chamber, root, kernel, (wanted, RAW))?;
    let path = format!("boot/initramfs-{}.img", kernel.version);
    let mut file = create(root, &path)?;
    let raw = chamber.file(RAW).context("opening the initramfs that dracut made")?;
    let early = early_length(&raw)?;
    let mut reader = BufReader::with_capacity(1 << 20, &raw);
    reader.seek(SeekFrom::Start(early))?;
    check(&cpio::first(&mut Stream::new(&mut reader, u64::MAX))?.names, root, kernel, wanted.filesystem)?;
    reader.seek(SeekFrom::Start(0))?;
    // Microcode is read before anything can be unpacked (kernel: arch/x86/microcode.rst).
    io::copy(&mut reader.by_ref().take(early), &mut file).context("writing the initramfs")?;
    Method::of(root, kernel)?.compress(&mut reader, &file)?;
    drop(reader);
    drop(raw);
    chamber.close()?;
    Ok(path)
}

/// Length of the archive that must stay uncompressed in front; 0 if there is none.
fn early_length(raw: &File) -> Result<u64> {
    let first = cpio::first(&mut Stream::new(raw, u64::MAX))?;
    Ok(if first.names.contains("early_cpio") { first.length } else { 0 })
}

/// dracut may say nothing and still leave out what matters: what is in the archive decides.
fn check(names: &BTreeSet<String>, root: &Root, kernel: &Kernel, filesystem: Filesystem) -> Result<()> {
    if !names.contains("init") {
        return Err(failed("dracut made an initramfs with no /init", "run dracut in the image to see why"));
    }
    let module = filesystem.kind().name;
    let is_module = |name: &str| name.rsplit('/').next().is_some_and(|file| file.split('.').next() == Some(module));
    if names.iter().any(|name| name.contains(".ko") && is_module(name)) {
        return Ok(());
    }
    let folder = kernel::modules(root, kernel).context("finding the kernel's modules")?;
    let builtin = root.read(&format!("{folder}/modules.builtin"), 4 << 20)?.unwrap_or_default();
    if builtin.lines().any(is_module) {
        return Ok(());
    }
    Err(failed(
        format!(
            "the initramfs has no driver for the root filesystem: {filesystem} is neither in it nor built into kernel {}",
            kernel.version
        ),
        "install the kernel's modules in the image",
    ))
}

/// A new file in the slot; what stood there is removed, not followed.
fn create(root: &Root, path: &str) -> Result<File> {
    let path = LayerPath::clean(path.as_bytes())?;
    let (folder, name) = path.split().context("the root is no file")?;
    let folder = match root.directory(&folder) {
        // An image may keep its kernel with its modules, and have no /boot.
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
