//! A raw disk into another format, by the programs that everybody else uses; and read back.

use crate::artifact::Format;
use crate::artifact::bmap::Section;
use crate::disk::mount::Scratch;
use crate::disk::new_file::{NewFile, folder_of};
use crate::error::{Result, failed};
use crate::progress::Step;
use crate::tool::Tool;
use crate::units::Bytes;
use anyhow::Context;
use rustix::fs::fstatvfs;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

/// `qemu-img`, and the package that has it.
pub const QEMU_IMG: [(&str, &str); 1] = [("qemu-img", "qemu-utils")];
/// A disk of a terabyte takes an hour on a disk of 300 MB/s.
const DEADLINE: Duration = Duration::from_secs(6 * 3600);
/// zstd's own default. What a higher one saves, the next levels' time does not.
const LEVEL: i32 = 3;

/// Writes `raw`, which has `size` bytes, as `format` into `new`, flushes it, and reads it back.
pub fn convert(
    (raw, size): (&NewFile, u64),
    format: Format,
    new: &NewFile,
    scratch: &Scratch,
    step: &Step,
) -> Result<()> {
    match format {
        Format::Raw => return Err(failed("a raw disk needs no conversion", "")),
        Format::Zstd => compress(raw, size, new, step)?,
        Format::Qcow2 | Format::Vmdk | Format::Vhdx => by_qemu(raw, format.name(), new, scratch)?,
    }
    new.flush()
}

/// What to do if a file does not hold what was written to it.
const AFTER: &str = "look after this machine's memory and disk, then run the command again";

/// qemu-img leaves out what is zeros; the file is sparse besides.
fn by_qemu(raw: &NewFile, format: &str, new: &NewFile, scratch: &Scratch) -> Result<()> {
    refuse_if_full(raw, new)?;
    // A VMDK says in itself what it is called: it is written under its own name, through a link that
    // nobody else sees.
    let folder = scratch.directory("artifact")?;
    let to = folder.join(new.path().file_name().context("the disk has no name")?);
    symlink(new.open_path(), &to).with_context(|| format!("making a link to {}", new.path().display()))?;
    let from = raw.open_path();
    let qemu_img = |words: &[&str], paths: &[&Path], hint: &str| {
        Tool::new("qemu-img").args(words).args(paths).deadline(DEADLINE).hint(hint).run().map(drop)
    };
    let converting = || format!("making {}", new.path().display());
    let room = format!("see whether there is room: df {}", folder_of(new.path()).display());
    qemu_img(&["convert", "-f", "raw", "-O", format], &[&from, &to], &room).with_context(converting)?;
    qemu_img(&["check", "-f", format], &[&to], AFTER).context("checking what was made")?;
    qemu_img(&["compare", "-f", "raw", "-F", format], &[&from, &to], AFTER).context("reading back what was made")?;
    fs::remove_file(&to).context("removing a link")
}

/// Fails before an hour is spent, if there is no room for as much as the raw disk takes.
fn refuse_if_full(raw: &NewFile, new: &NewFile) -> Result<()> {
    // stat(2): in units of 512 bytes, whatever the filesystem's own are.
    let needed = raw.file().metadata()?.blocks().saturating_mul(512);
    let room = fstatvfs(new.file()).context("asking for the room on the filesystem of the disk file")?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free >= needed {
        return Ok(());
    }
    let found =
        format!("{} are free where {} shall be, and the disk has {}", Bytes(free), new.path().display(), Bytes(needed));
    Err(failed(found, "make room, or name a file elsewhere"))
}

fn compress(raw: &NewFile, size: u64, new: &NewFile, step: &Step) -> Result<()> {
    let compressing = || format!("compressing {}", new.path().display());
    let count = step.counter();
    let mut disk = whole(raw, size);
    let mut encoder = zstd::Encoder::new(new.file(), LEVEL).with_context(compressing)?;
    // Also with one core: the frames are the same with any number of workers, but not with none.
    encoder.multithread(u32::try_from(available_parallelism()?.get())?).with_context(compressing)?;
    encoder.include_checksum(true).with_context(compressing)?;
    encoder.set_pledged_src_size(Some(size)).with_context(compressing)?;
    loop {
        let chunk = disk.fill_buf().context("reading the disk file")?;
        let length = chunk.len();
        if length == 0 {
            break;
        }
        io::Write::write_all(&mut encoder, chunk).with_context(compressing)?;
        count(length as u64);
        disk.consume(length);
    }
    encoder.finish().with_context(compressing)?;
    read_back(whole(raw, size), new)
}

fn read_back(mut raw: impl BufRead, new: &NewFile) -> Result<()> {
    let reading = || format!("reading back {}", new.path().display());
    let length = new.file().metadata()?.len();
    let packed = Section { disk: new.file(), at: 0, end: length };
    let mut decoder = zstd::Decoder::new(packed).with_context(reading)?;
    let mut found = vec![0; CHUNK];
    loop {
        let expected = raw.fill_buf().context("reading the disk file")?;
        let part = &mut found[..expected.len()];
        decoder.read_exact(part).with_context(reading)?;
        if part != expected {
            return Err(failed(format!("{} does not hold what was written to it", new.path().display()), AFTER));
        }
        let length = expected.len();
        if length == 0 {
            return Ok(());
        }
        raw.consume(length);
    }
}

/// How much of the disk is read at once, in bytes.
const CHUNK: usize = 1 << 20;

fn whole(raw: &NewFile, size: u64) -> impl BufRead {
    BufReader::with_capacity(CHUNK, Section { disk: raw.file(), at: 0, end: size })
}
