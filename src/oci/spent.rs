//! A file in memory that is given back to the kernel as it is read: each byte can be read once.

use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

/// Size of a page in bytes: parts of one take no less memory.
const PAGE: u64 = 4096;

/// A reader of a part of such a file.
pub struct Spent<R> {
    input: R,
    /// The file, open for writing.
    file: Arc<File>,
    /// Position in the file up to which it was read.
    at: u64,
    /// Position from which on it was not given back.
    from: u64,
}

impl<R: Read> Spent<R> {
    /// Gives back what `input` reads, which begins at this position of the file.
    pub fn new(input: R, file: Arc<File>, at: u64) -> Spent<R> {
        Spent { input, file, at, from: at }
    }
}

impl<R: Read> Read for Spent<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.at += length as u64;
        let end = self.at / PAGE * PAGE;
        if end > self.from {
            // Where this cannot be done, the file takes memory to its end.
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&*self.file, flags, self.from, end - self.from);
            self.from = end;
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_is_read_is_given_back_whatever_the_size_of_the_reads() {
        let mut file = tempfile::tempfile_in("/dev/shm").unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        io::Write::write_all(&mut file, &bytes).unwrap();
        file.rewind().unwrap();
        let kept = Arc::new(file.try_clone().unwrap());
        let mut spent = Spent::new(file, Arc::clone(&kept), 0);
        let mut read = vec![0; 1000];
        spent.read_exact(&mut read).unwrap();
        spent.read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
        assert_eq!(kept.metadata().unwrap().blocks(), 0);
    }
}
