//! The boot partition: FAT32, made in memory, so that no kernel needs to know vfat.

use crate::error::Result;
use anyhow::Context;
use fatfs::{
    Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, StdIoWrapper, Time, TimeProvider,
    format_volume,
};
use std::io::{Cursor, Write};

/// A FAT32 image of `size` bytes with these files; directories are made as needed. The same files
/// give the same bytes.
pub fn image(size: u64, label: &str, volume_id: u32, files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    // Only the pages that are written take memory; the rest are the kernel's zero page.
    let mut disk = Cursor::new(vec![0; usize::try_from(size)?]);
    let mut name = [b' '; 11];
    name[..label.len()].copy_from_slice(label.as_bytes());
    let options = FormatVolumeOptions::new()
        // The UEFI specification (13.3.1) wants FAT32 on a fixed disk; the crate would take FAT16.
        .fat_type(FatType::Fat32)
        // One sector: else 64 MiB have too few clusters for FAT32.
        .bytes_per_cluster(512)
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

/// Every file is of 1980-01-01, the first day that FAT knows: so the image depends on nothing else.
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
