//! Finds the parts of a disk file that must be copied, so that the copy is the same disk whatever the target
//! held before.

use crate::disk::new::layout::Layout;
use crate::error::Result;
use crate::sys::fiemap;
use crate::words::region::Region;
use crate::words::units::MIB;
use anyhow::Context;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::ops::Range;

/// Unit of a block map in bytes: a page, as in `bmaptool create`.
pub const BLOCK: u64 = 4096;

/// Returns the ranges of bytes to copy, in whole blocks, in order, with a gap between any two: those that
/// were written, and those that must read as zeros.
///
/// Holes alone do not show the latter. A table's checksum covers its empty entries, and an empty slot must
/// not show the target's old contents: these are `zeros`. An ext4 or XFS log must not hold blocks of an older
/// log, which its first recovery could mistake for its own; the programs that make filesystems zero the log,
/// which allocates space without data. So allocated ranges count, not only those with data.
pub fn to_copy(disk: &File, layout: &Layout) -> Result<Vec<Range<u64>>> {
    let written = match fiemap::allocated(disk, layout.size) {
        // Filesystems without FIEMAP (tmpfs) do not allocate space without data either: there zeros are written.
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL) => data(disk, layout.size),
        written => written,
    };
    let written = written.context("listing the written parts of the disk file")?;
    Ok(joined(written.into_iter().chain(zeros(layout)).collect(), layout.size))
}

/// Returns the ranges that must read as zeros where nothing was written: the tables, the partitions that are
/// written in full, and the ends of slots and data, where an older filesystem would be recognized
/// (disk/new/target.rs clears the same ranges).
fn zeros(layout: &Layout) -> Vec<Range<u64>> {
    let ends = |region: &Region| {
        let end = region.start + region.size;
        [region.start..region.start + MIB, end - MIB..end]
    };
    let whole = [layout.core, layout.boot].map(|region| region.start..region.start + region.size);
    let tables = [0..MIB, layout.size - MIB..layout.size];
    tables.into_iter().chain(whole).chain(layout.slots.iter().chain(&layout.data).flat_map(ends)).collect()
}

/// Returns the ranges with data (lseek(2), `SEEK_DATA`).
fn data(disk: &File, size: u64) -> rustix::io::Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(disk, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break, // nothing but a hole up to the end
            start => start?,
        };
        at = seek(disk, SeekFrom::Hole(start))?;
        ranges.push(start..at.min(size));
    }
    Ok(ranges)
}

fn joined(mut ranges: Vec<Range<u64>>, size: u64) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        let range = range.start / BLOCK * BLOCK..range.end.next_multiple_of(BLOCK).min(size);
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FallocateFlags, fallocate};
    use std::os::unix::fs::FileExt;

    #[test]
    fn ranges_are_whole_blocks_and_touching_ones_are_one() {
        let found = joined(vec![5000..5001, 0..10, 4096..4097, 100_000..100_001, 12288..12288], 100_001);
        assert_eq!(found, [0..8192, 98304..100_001]);
    }

    #[test]
    fn both_ways_of_asking_find_what_was_written() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16 * MIB).unwrap();
        for at in [0, 3 * MIB + 5, 16 * MIB - 1] {
            file.write_all_at(b"x", at).unwrap();
        }
        let covers = |ranges: &[Range<u64>], at: u64| ranges.iter().any(|range| range.contains(&at));
        let by_data = data(&file, 16 * MIB).unwrap();
        let by_room = fiemap::allocated(&file, 16 * MIB).unwrap_or_else(|_| by_data.clone());
        if let Ok(room) = fiemap::allocated(&file, 16 * MIB) {
            assert!(!covers(&room, 12 * MIB));
            fallocate(&file, FallocateFlags::empty(), 12 * MIB, MIB).unwrap();
            let room = fiemap::allocated(&file, 16 * MIB).unwrap();
            assert!(covers(&room, 12 * MIB) && covers(&room, 13 * MIB - 1), "room without data: {room:?}");
        }
        for ranges in [by_data, by_room] {
            let ranges = joined(ranges, 16 * MIB);
            assert!([0, 3 * MIB + 5, 16 * MIB - 1].iter().all(|at| covers(&ranges, *at)), "{ranges:?}");
            assert!(!covers(&ranges, 8 * MIB), "{ranges:?}");
        }
    }
}
