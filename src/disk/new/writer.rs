//! Writes the bytes of a new disk in an order in which an interrupted write does not boot.

use crate::disk::medium::Medium;
use crate::error::{Result, failed};
use crate::mount::vacant::Ground;
use crate::words::region::{Region, Run};
use crate::words::units::{Bytes, MIB};
use anyhow::Context;
use std::path::{Path, PathBuf};

/// Writer of everything on a new disk except the filesystems in its slots.
pub struct DiskWriter {
    medium: Box<dyn Medium>,
    /// Path of the disk, for errors.
    path: PathBuf,
    ground: Ground,
}

impl DiskWriter {
    /// Makes a writer to a medium that is called `path` in errors. Over [`Ground::Zeros`], zeros are omitted.
    pub fn on(medium: Box<dyn Medium>, path: &Path, ground: Ground) -> DiskWriter {
        DiskWriter { medium, path: path.to_owned(), ground }
    }

    /// Writes bytes at an offset of the disk. Omits pages of zeros that the medium has anyway.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        const PAGE: usize = 4096;
        for (page, at) in bytes.chunks(PAGE).zip((offset..).step_by(PAGE)) {
            if self.ground == Ground::Used || page.iter().any(|byte| *byte != 0) {
                self.put(at, page)?;
            }
        }
        Ok(())
    }

    fn put(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let writing = || format!("writing {} at byte {offset}", self.path.display());
        self.medium.write_all_at(bytes, offset).with_context(writing)
    }

    /// Zeros the first and last MiB of each region, where boot code, tables and most signatures are, and flushes.
    pub fn zero_ends(&self, regions: &[Region]) -> Result<()> {
        let zeros = vec![0; usize::try_from(MIB)?];
        for region in regions {
            self.put(region.start, &zeros)?;
            self.put(region.start + region.size - MIB, &zeros)?;
        }
        self.flush()
    }

    /// Writes `bytes` to the beginning of a partition; the rest of it is not touched. Fails if they do not fit.
    pub fn write_region(&self, region: Region, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 > region.size {
            return Err(failed(
                format!("{} bytes do not fit partition {} of {}", bytes.len(), region.number, Bytes(region.size)),
                "",
            ));
        }
        self.write_at(region.start, bytes)
    }

    /// Writes boot code and table, the first MiB last of all. Before this a device does not boot; after it, it does.
    pub fn write_ends(&self, table: Vec<Run>) -> Result<()> {
        let (first_mib, backup): (Vec<_>, Vec<_>) = table.into_iter().partition(|run| run.offset < MIB);
        for part in [Vec::new(), backup, first_mib] {
            for run in part {
                self.write_at(run.offset, &run.bytes)?;
            }
            self.flush()?;
        }
        Ok(())
    }

    /// Waits until everything written is on the disk.
    pub fn flush(&self) -> Result<()> {
        self.medium.flush().with_context(|| format!("flushing {}", self.path.display()))
    }
}
