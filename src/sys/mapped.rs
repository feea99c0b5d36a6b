//! Files in memory that are read where they are, without a copy.
#![allow(unsafe_code)]

use rustix::io;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::fs::File;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::slice;

/// The bytes of a file of a tmpfs.
pub struct Mapped {
    start: NonNull<c_void>,
    length: usize,
}

impl Mapped {
    /// Maps all of a file, which nobody else may have open for writing as long as this lives.
    pub fn of(file: &File) -> io::Result<Mapped> {
        let length = usize::try_from(rustix::fs::fstat(file)?.st_size).map_err(|_| io::Errno::FBIG)?;
        if length == 0 {
            return Ok(Mapped { start: NonNull::dangling(), length });
        }
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start =
            unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED | MapFlags::POPULATE, file, 0) }?;
        Ok(Mapped { start: NonNull::new(start).ok_or(io::Errno::NOMEM)?, length })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping has this length, and lives as long as this; its file does not change, as `of` asks for.
        unsafe { slice::from_raw_parts(self.start.cast().as_ptr(), self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: nothing borrows from it any more. It cannot fail for a mapping that is there.
            let _ = unsafe { munmap(self.start.as_ptr(), self.length) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_bytes_are_those_of_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        assert!(Mapped::of(&file).unwrap().is_empty());
        file.write_all(&[7; 5000]).unwrap();
        assert!(*Mapped::of(&file).unwrap() == [7; 5000]);
    }
}
