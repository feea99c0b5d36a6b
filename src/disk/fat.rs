//! The filesystem of the boot partition: FAT32, made in memory, and read without a mount, so that the kernel
//! need not support vfat.

use crate::disk::medium::Medium;
use crate::error::Result;
use anyhow::{Context, bail};
use fatfs::{
    Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, StdIoWrapper, Time, TimeProvider,
    format_volume,
};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

/// Builds a FAT32 image of `size` bytes, in sectors of `sector` bytes, with these files; makes directories as
/// needed. The same files give the same bytes.
pub fn volume(size: u64, sector: u64, label: &str, volume_id: u32, files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    // Only the pages that are written take memory; the rest are the kernel's zero page.
    let mut disk = Cursor::new(vec![0; usize::try_from(size)?]);
    let mut name = [b' '; 11];
    name[..label.len()].copy_from_slice(label.as_bytes());
    let options = FormatVolumeOptions::new()
        // The UEFI specification (13.3.1) requires FAT32 on a fixed disk; the crate would choose FAT16.
        .fat_type(FatType::Fat32)
        // One sector: otherwise 64 MiB have too few clusters for FAT32.
        .bytes_per_cluster(u32::try_from(sector)?)
        .bytes_per_sector(u16::try_from(sector)?)
        .volume_id(volume_id)
        .volume_label(name);
    format_volume(&mut StdIoWrapper::new(&mut disk), options).context("making a FAT filesystem")?;
    let fat =
        FileSystem::new(&mut disk, FsOptions::new().time_provider(Fixed)).context("opening the FAT filesystem")?;
    for (path, bytes) in files {
        write(&fat, path, bytes).with_context(|| format!("writing {path} to the boot partition"))?;
    }
    fat.unmount().context("closing the FAT filesystem")?;
    Ok(disk.into_inner())
}

/// Limit on the runs of a file: more than a file of ours has.
const RUNS_MOST: usize = 65536;

/// Finds the bytes of the file `path`: runs of (offset in the filesystem, length), in order. The filesystem
/// begins at byte `start` of `disk`. Returns `None` if there is no such file, or no such filesystem.
pub fn extents(disk: &dyn Medium, start: u64, path: &str) -> Result<Option<Vec<(u64, u64)>>> {
    let window = StdIoWrapper::new(Window { disk, start, at: 0 });
    let Ok(fat) = FileSystem::new(window, FsOptions::new().time_provider(Fixed)) else { return Ok(None) };
    let mut file = match fat.root_dir().open_file(path) {
        Ok(file) => file,
        Err(fatfs::Error::NotFound) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("looking for {path} on the boot partition")),
    };
    let mut runs = Vec::new();
    for extent in file.extents() {
        let extent = extent.with_context(|| format!("finding the bytes of {path} on the boot partition"))?;
        runs.push((extent.offset, u64::from(extent.size)));
        if runs.len() > RUNS_MOST {
            bail!("{path} on the boot partition has no end: its chain of clusters is a loop");
        }
    }
    Ok(Some(runs.into_iter().filter(|(_, length)| *length > 0).collect()))
}

/// Read-only view of a filesystem that begins at byte `start` of a disk.
struct Window<'d> {
    disk: &'d dyn Medium,
    start: u64,
    at: u64,
}

impl Read for Window<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let length = self.disk.read_at(bytes, self.start + self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

impl Write for Window<'_> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
            SeekFrom::End(_) => None, // nothing asks for the end of a partition
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

type Volume<'a> = FileSystem<StdIoWrapper<&'a mut Cursor<Vec<u8>>>, Fixed>;

fn write(fat: &Volume, path: &str, bytes: &[u8]) -> Result<()> {
    let mut folder = fat.root_dir();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_some() {
            folder = folder.create_dir(part)?;
            continue;
        }
        let mut file = folder.create_file(part)?;
        file.write_all(bytes)?;
        file.flush()?;
    }
    Ok(())
}

/// Dates every file 1980-01-01, the first day that FAT knows, so that the image depends on nothing else.
#[derive(Debug, Clone, Copy)]
struct Fixed;

impl TimeProvider for Fixed {
    fn get_current_date(&self) -> Date {
        Date::new(1980, 1, 1)
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime::new(self.get_current_date(), Time::new(0, 0, 0, 0))
    }
}
