//! Converts a raw disk to another format, with qemu-img or zstd, and reads the result back.

use crate::disk::new::file::{NewFile, folder_of};
use crate::error::{Result, failed};
use crate::mount::scratch::Scratch;
use crate::progress::Step;
use crate::publish::bmap::Section;
use crate::publish::format::Format;
use crate::tool::Tool;
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::fs::fstatvfs;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

/// `qemu-img`, and the package that contains it.
pub const QEMU_IMG: [(&str, &str); 1] = [("qemu-img", "qemu-utils")];
/// Time limit of qemu-img: a terabyte takes an hour at 300 MB/s.
const DEADLINE: Duration = Duration::from_secs(6 * 3600);
/// Compression level: zstd's own default. Higher levels take more time than their smaller output saves.
const LEVEL: i32 = 3;

/// A complete disk as raw bytes.
#[derive(Clone, Copy)]
pub struct RawDisk<'d> {
    /// The file that holds the bytes.
    pub file: &'d NewFile,
    /// Size of the disk in bytes.
    pub size: u64,
}

/// Writes `raw` as `format` into `new`, reads it back, and flushes it.
pub fn convert(raw: RawDisk, format: Format, new: &NewFile, scratch: &Scratch, step: &Step) -> Result<()> {
    match format {
        Format::Raw => return Err(failed("a raw disk needs no conversion", "")),
        Format::Zstd => compress(raw, new, step)?,
        Format::Qcow2 | Format::Vmdk | Format::Vhdx => by_qemu(raw.file, format.name(), new, scratch)?,
    }
    new.flush()
}

/// Hint for a file that does not hold what was written to it.
const AFTER: &str = "check this machine's memory and disk, then run the command again";

/// Converts with qemu-img, which omits zeros; the file is sparse as well.
fn by_qemu(raw: &NewFile, format: &str, new: &NewFile, scratch: &Scratch) -> Result<()> {
    refuse_if_full(raw, new)?;
    // A VMDK contains its own file name, so it is written under that name, through a link in the private
    // mount namespace.
    let folder = scratch.directory("artifact")?;
    let to = folder.join(new.path().file_name().context("the disk file has no name")?);
    symlink(new.open_path(), &to).with_context(|| format!("making a link to {}", new.path().display()))?;
    let from = raw.open_path();
    let qemu_img = |words: &[&str], paths: &[&Path], hint: &str| {
        Tool::new("qemu-img").args(words).args(paths).deadline(DEADLINE).hint(hint).run().map(drop)
    };
    let converting = || format!("making {}", new.path().display());
    let room = format!("check the free space: df {}", folder_of(new.path()).display());
    qemu_img(&["convert", "-f", "raw", "-O", format], &[&from, &to], &room).with_context(converting)?;
    qemu_img(&["check", "-f", format], &[&to], AFTER).context("checking the converted disk")?;
    qemu_img(&["compare", "-f", "raw", "-F", format], &[&from, &to], AFTER)
        .context("reading back the converted disk")?;
    fs::remove_file(&to).context("removing a link")
}

/// Fails before an hour is spent, if the free space is less than the raw disk takes.
fn refuse_if_full(raw: &NewFile, new: &NewFile) -> Result<()> {
    // stat(2): in units of 512 bytes, whatever the filesystem's block size is.
    let needed = raw.file().metadata()?.blocks().saturating_mul(512);
    let room = fstatvfs(new.file()).context("reading the free space on the filesystem of the disk file")?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free >= needed {
        return Ok(());
    }
    let found = format!(
        "not enough space for {}: {} free, the disk needs {}",
        new.path().display(),
        Bytes(free),
        Bytes(needed)
    );
    Err(failed(found, "free some space, or name a file on another filesystem"))
}

fn compress(raw: RawDisk, new: &NewFile, step: &Step) -> Result<()> {
    let compressing = || format!("compressing {}", new.path().display());
    let count = step.counter();
    let mut disk = whole(raw);
    let mut encoder = zstd::Encoder::new(new.file(), LEVEL).with_context(compressing)?;
    // Set with one core too: the frames are the same for any number of workers, but differ without workers.
    encoder.multithread(u32::try_from(available_parallelism()?.get())?).with_context(compressing)?;
    encoder.include_checksum(true).with_context(compressing)?;
    encoder.set_pledged_src_size(Some(raw.size)).with_context(compressing)?;
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
    read_back(whole(raw), new)
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

/// Number of bytes of the disk that are read at a time.
const CHUNK: usize = 1 << 20;

fn whole(raw: RawDisk) -> impl BufRead {
    BufReader::with_capacity(CHUNK, Section { disk: raw.file.file(), at: 0, end: raw.size })
}
