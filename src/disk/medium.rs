//! The bytes of a disk, a partition or a file, as everything here reads and writes them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes at offsets, which a power cut may hit: what is written is safe only after the next flush.
pub trait Medium: Send + Sync {
    /// Reads up to as many bytes as `bytes` holds, from `offset` on; returns their number, 0 at the end.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads as many bytes as `bytes` holds, from `offset` on. Fails if the medium ends before.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes`, from `offset` on.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Waits until everything written is on the medium.
    fn flush(&self) -> io::Result<()>;
}

impl Medium for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.sync_all()
    }
}
