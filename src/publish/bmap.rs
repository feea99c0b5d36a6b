//! A block map, format 2.0, as `bmaptool` reads it (bmap-tools, bmaptools/BmapCreate.py): the blocks of a
//! disk that must be copied, with a SHA-256 of each range and of the map itself.

use crate::error::Result;
use crate::publish::allocated::BLOCK;
use crate::words::digest::Digest;
use anyhow::Context;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Renders the block map of `disk`, which is `size` bytes long, with these ranges. Reads all of them.
pub fn render(disk: &File, size: u64, ranges: &[Range<u64>]) -> Result<String> {
    let mut map = String::new();
    for range in ranges {
        let section = Section { disk, at: range.start, end: range.end };
        let digest = Digest::of_stream(section).context("reading the disk file")?;
        let (first, last) = (range.start / BLOCK, (range.end - 1) / BLOCK);
        let blocks = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let _ = writeln!(map, "        <Range chksum=\"{}\"> {blocks} </Range>", digest.hex());
    }
    let mapped: u64 = ranges.iter().map(|range| (range.end - range.start).div_ceil(BLOCK)).sum();
    let text = |checksum: &str| {
        format!(
            "<?xml version=\"1.0\" ?>\n\
             <!-- Which blocks of a disk must be copied: bmaptool copy. Written by flipslot {}. -->\n\
             <bmap version=\"2.0\">\n    \
                 <ImageSize> {size} </ImageSize>\n    \
                 <BlockSize> {BLOCK} </BlockSize>\n    \
                 <BlocksCount> {} </BlocksCount>\n    \
                 <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    \
                 <ChecksumType> sha256 </ChecksumType>\n    \
                 <BmapFileChecksum> {checksum} </BmapFileChecksum>\n    \
                 <BlockMap>\n{map}    </BlockMap>\n\
             </bmap>\n",
            env!("CARGO_PKG_VERSION"),
            size.div_ceil(BLOCK),
        )
    };
    // The map's own checksum is computed with zeros in its place.
    let blank = text(&"0".repeat(64));
    Ok(text(Digest::of(blank.as_bytes()).hex()))
}

/// A range of bytes of a file, read by offset: the file's own position does not move.
pub(super) struct Section<'f> {
    pub disk: &'f File,
    pub at: u64,
    pub end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(bytes.len());
        let length = self.disk.read_at(&mut bytes[..left], self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}
