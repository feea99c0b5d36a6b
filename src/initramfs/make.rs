//! Provides the initramfs of a slot: makes one with the image's dracut or with flipslot's init, or takes the image's own.

use crate::archive::counted::Stream;
use crate::archive::cpio;
use crate::archive::write_cpio;
use crate::chamber::{Chamber, Shape};
use crate::error::{Result, failed, into_io};
use crate::initramfs::compress::{Effort, LARGEST, Method};
use crate::initramfs::dracut::{self, Extent, Job, Recipe};
use crate::initramfs::read::contents::Contents;
use crate::initramfs::{own_init, trial_units};
use crate::kernel::find::Kernel;
use crate::layer::LayerPath;
use crate::layer::entry::{Meta, Time};
use crate::mount::scratch::Scratch;
use crate::root::edit::Edit;
use crate::root::runnable::Runnable;
use crate::words::origin::Origin;
use crate::words::units::Bytes;
use anyhow::{Context, anyhow};
use std::fs::File;
use std::io::{self, BufReader, PipeReader, Read, Seek, SeekFrom, Write};
use std::thread::{self, ScopedJoinHandle};

/// Path in the chamber's memory to which dracut writes.
const RAW: &str = "/run/flipslot-initramfs";

/// Makes the initramfs of `kernel` according to `recipe`, with the dracut of the image in `root`, and puts it
/// there. Returns its path.
pub fn make<R: Edit + Runnable>(scratch: &Scratch, root: &mut R, kernel: &Kernel, recipe: &Recipe) -> Result<String> {
    let extent = if recipe.on.is_livenet() { Extent::Live } else { Extent::Needed };
    let (chamber, raw) = by_dracut(scratch, root, kernel, recipe, extent)?;
    let early = early_length(&raw)?;
    let mut reader = BufReader::with_capacity(1 << 20, &raw);
    reader.seek(SeekFrom::Start(0))?;
    let method = Method::of(root, kernel)?;
    let (pipe, made) = io::pipe().context("making a pipe")?;
    let path = path_of(kernel);
    thread::scope(|scope| {
        let compressed = scope.spawn(move || {
            // Microcode is read before anything can be unpacked (kernel: arch/x86/microcode.rst).
            io::copy(&mut reader.by_ref().take(early), &mut &made).context("writing the initramfs")?;
            method.compress(Effort::Little, &mut reader, &made)
        });
        store(root, &path, &mut Compressed { pipe, thread: Some(compressed) })
    })?;
    drop(raw);
    chamber.close()?;
    Ok(path)
}

/// Has the image's dracut make an initramfs. Returns the file, which is gone with the chamber.
pub(super) fn by_dracut<R: Edit + Runnable>(
    scratch: &Scratch,
    root: &mut R,
    kernel: &Kernel,
    recipe: &Recipe,
    extent: Extent,
) -> Result<(Chamber, File)> {
    let chamber = Chamber::open(scratch, root, Shape::of_tools())?;
    dracut::run(&chamber, root, kernel, Job { recipe, output: RAW, extent })?;
    let raw = chamber.file(RAW).context("opening the initramfs that dracut made")?;
    refuse_too_large(raw.metadata().context("measuring the initramfs that dracut made")?.len())?;
    Ok((chamber, raw))
}

/// Makes the initramfs of `kernel` with flipslot's own init, which does these steps, and puts it into the root. Returns
/// its path.
pub fn with_own_init(
    scratch: &Scratch,
    root: &mut dyn Edit,
    kernel: &Kernel,
    own: &own_init::Own,
    recipe: &Recipe,
) -> Result<String> {
    let mut made = scratch.file("initramfs")?;
    own_init::write(root, kernel, own, recipe, &made)?;
    made.rewind().context("reading the initramfs")?;
    let path = path_of(kernel);
    store(root, &path, &mut made)?;
    Ok(path)
}

/// Returns the path of an initramfs that is made for a kernel.
fn path_of(kernel: &Kernel) -> String {
    format!("boot/initramfs-{}.img", kernel.version)
}

/// Refuses an initramfs that no boot loader could load beside a kernel, before it is compressed.
fn refuse_too_large(size: u64) -> Result<()> {
    if size <= LARGEST {
        return Ok(());
    }
    let found = format!("dracut made an initramfs of {}, and at most {} are taken", Bytes(size), Bytes(LARGEST));
    Err(failed(found, "see what its configuration adds: etc/dracut.conf.d in the image"))
}

/// The output of a thread that compresses. Its end is an error unless the thread succeeded.
struct Compressed<'scope> {
    pipe: PipeReader,
    thread: Option<ScopedJoinHandle<'scope, Result<()>>>,
}

impl Read for Compressed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.pipe.read(bytes)?;
        if read == 0
            && !bytes.is_empty()
            && let Some(thread) = self.thread.take()
        {
            let ended = thread.join().unwrap_or_else(|_| Err(anyhow!("the thread that compresses has failed")));
            ended.map_err(into_io)?;
        }
        Ok(read)
    }
}

/// Returns the length in bytes of the archive that must stay uncompressed in front; 0 if there is none.
pub(super) fn early_length(raw: &File) -> Result<u64> {
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
    let copied = io::copy(&mut bytes, &mut copy).map_err(no_memory);
    let length = copied.with_context(|| format!("copying /{}", own.path))?;
    drop(bytes);
    // The next archive must begin at a multiple of 4, and the kernel finds the end of an lz4 stream by a
    // length of zero (lib/decompress_unlz4.c).
    let zeros = length.next_multiple_of(4) + 4 - length;
    let mut more = vec![0; usize::try_from(zeros)?];
    more.extend(write_cpio::write(&trial_units::IN_INITRAMFS.map(|(path, text)| (path, 0o100_644, text.as_bytes())))?);
    copy.write_all(&more).context("writing the initramfs")?;
    copy.rewind().context("reading the initramfs")?;
    let path = format!("boot/initramfs-flipslot-{}.img", kernel.version);
    store(root, &path, &mut copy)?;
    Ok(path)
}

/// Converts an error of writing to memory, with the next step where there is one.
fn no_memory(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::StorageFull => failed("this machine has not enough free memory", "free some, or add some"),
        _ => error.into(),
    }
}

/// Puts an initramfs into the root, readable by root alone: it may hold keys.
pub(super) fn store(root: &mut dyn Edit, path: &str, made: &mut dyn Read) -> Result<()> {
    let now = Time { seconds: i64::try_from(Origin::Fresh.now())?, nanoseconds: 0 };
    let meta = Meta { mode: 0o600, mtime: now, ..Meta::default() };
    root.put_file(&LayerPath::clean(path.as_bytes())?, &meta, made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{from_io, hint};

    #[test]
    fn an_end_that_is_a_failure_of_the_thread_is_its_error_and_not_a_shorter_file() {
        let (pipe, mut made) = io::pipe().unwrap();
        let error = thread::scope(|scope| {
            let failing = scope.spawn(move || {
                made.write_all(b"half").unwrap();
                Err(failed("it stops here", "run it again"))
            });
            io::copy(&mut Compressed { pipe, thread: Some(failing) }, &mut io::sink()).unwrap_err()
        });
        let error = from_io(error);
        assert_eq!((error.to_string().as_str(), hint(&error)), ("it stops here", Some("run it again")));
    }
}
