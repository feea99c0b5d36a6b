//! Provides the initramfs of a slot: makes one with the image's dracut, or takes the image's own.

use crate::chamber::Chamber;
use crate::error::Result;
use crate::initramfs::compress::Method;
use crate::initramfs::dracut::{self, Job, Recipe};
use crate::initramfs::read::contents::Contents;
use crate::initramfs::read::counted::Stream;
use crate::initramfs::read::cpio;
use crate::initramfs::trial_units;
use crate::kernel::find::Kernel;
use crate::layer::LayerPath;
use crate::layer::entry::{Meta, Time};
use crate::mount::scratch::Scratch;
use crate::root::edit::Edit;
use crate::root::runnable::Runnable;
use crate::words::origin::Origin;
use anyhow::Context;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

/// Path in the chamber's memory to which dracut writes.
const RAW: &str = "/run/flipslot-initramfs";

/// Makes the initramfs of `kernel` according to `recipe`, with the dracut of the image in `root`, and puts it
/// there. Returns its path.
pub fn make<R: Edit + Runnable>(scratch: &Scratch, root: &mut R, kernel: &Kernel, recipe: &Recipe) -> Result<String> {
    let chamber = Chamber::open(scratch, root)?;
    dracut::run(&chamber, root, kernel, Job { recipe, output: RAW })?;
    let raw = chamber.file(RAW).context("opening the initramfs that dracut made")?;
    let early = early_length(&raw)?;
    let mut reader = BufReader::with_capacity(1 << 20, &raw);
    reader.seek(SeekFrom::Start(0))?;
    let mut made = scratch.file("initramfs")?;
    // Microcode is read before anything can be unpacked (kernel: arch/x86/microcode.rst).
    io::copy(&mut reader.by_ref().take(early), &mut made).context("writing the initramfs")?;
    Method::of(root, kernel)?.compress(&mut reader, &made)?;
    drop(reader);
    drop(raw);
    chamber.close()?;
    store(root, format!("boot/initramfs-{}.img", kernel.version), made)
}

/// Returns the length in bytes of the archive that must stay uncompressed in front; 0 if there is none.
fn early_length(raw: &File) -> Result<u64> {
    let first = cpio::first(&mut Stream::new(raw, u64::MAX))?;
    Ok(if first.names.contains("early_cpio") { first.length } else { 0 })
}

/// The initramfs that an image brings.
#[derive(Clone, Copy)]
pub struct Own<'o> {
    /// Its path in the root.
    pub path: &'o str,
    /// The files in it.
    pub contents: &'o Contents,
}

/// Uses the image's own initramfs. If that has systemd, copies it and appends the files that a slot on trial needs,
/// because the kernel unpacks archives one over the other. Returns the path in the root of the initramfs to load.
pub fn take(scratch: &Scratch, root: &mut dyn Edit, kernel: &Kernel, own: Own) -> Result<String> {
    if !trial_units::SYSTEMD.iter().any(|path| own.contents.has(path)) {
        return Ok(own.path.to_owned());
    }
    let mut copy = scratch.file("initramfs")?;
    let mut bytes = root.open(own.path)?.with_context(|| format!("opening /{}", own.path))?;
    let length = io::copy(&mut bytes, &mut copy).with_context(|| format!("copying /{}", own.path))?;
    drop(bytes);
    // The next archive must begin at a multiple of 4, and the kernel finds the end of an lz4 stream by a
    // length of zero (lib/decompress_unlz4.c).
    let zeros = length.next_multiple_of(4) + 4 - length;
    let mut more = vec![0; usize::try_from(zeros)?];
    more.extend(cpio::write(&trial_units::IN_INITRAMFS.map(|(path, text)| (path, 0o100_644, text.as_bytes())))?);
    copy.write_all(&more).context("writing the initramfs")?;
    store(root, format!("boot/initramfs-flipslot-{}.img", kernel.version), copy)
}

/// Puts an initramfs into the root, readable by root alone: it may hold keys. Returns its path.
fn store(root: &mut dyn Edit, path: String, mut made: File) -> Result<String> {
    made.rewind().context("reading the initramfs")?;
    let now = Time { seconds: i64::try_from(Origin::Fresh.now())?, nanoseconds: 0 };
    let meta = Meta { mode: 0o600, mtime: now, ..Meta::default() };
    root.put_file(&LayerPath::clean(path.as_bytes())?, &meta, &mut made)?;
    Ok(path)
}
