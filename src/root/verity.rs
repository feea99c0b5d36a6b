//! A tree of hashes over a file, by which the kernel compares each block as it is read (dm-verity; kernel:
//! admin-guide/device-mapper/verity.rst; cryptsetup: DMVerity, "Verity on-disk format").

use crate::error::Result;
use crate::sys::device_mapper::VERITY_BLOCK as BLOCK;
use crate::words::digest::Digest;
use crate::words::hex::hex_of;
use anyhow::Context;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufReader, Read, Write};

/// Length of SHA-256 in bytes.
const HASH: usize = 32;

/// Writes the superblock and the tree of a file; returns the hash at its root. `None` writes nothing: the file does not end
/// with a whole block. `uuid` marks the tree, and is compared with nothing.
pub fn write(data: &File, uuid: [u8; 16], mut out: impl Write) -> Result<Option<Digest>> {
    let size = data.metadata()?.len();
    let blocks = size / BLOCK as u64;
    if blocks == 0 || size % BLOCK as u64 != 0 {
        return Ok(None);
    }
    let (levels, root) = tree(&mut BufReader::with_capacity(1 << 20, data), blocks)?;
    out.write_all(&superblock(blocks, uuid))?;
    for level in levels.iter().rev() {
        out.write_all(level)?; // the top comes first
    }
    out.flush()?;
    Ok(Some(Digest::parse(&format!("sha256:{}", hex_of(&root)))?))
}

/// Returns the levels of the tree, the lowest first, each of whole blocks, and the hash of the topmost block.
fn tree(data: &mut impl Read, blocks: u64) -> Result<(Vec<Vec<u8>>, Vec<u8>)> {
    let mut hashes = Vec::new();
    let mut block = [0; BLOCK];
    for _ in 0..blocks {
        data.read_exact(&mut block).context("reading what is hashed")?;
        hashes.extend_from_slice(&Sha256::digest(block));
    }
    let mut levels = Vec::new();
    while hashes.len() > HASH {
        hashes.resize(hashes.len().next_multiple_of(BLOCK), 0);
        let above = hashes.chunks(BLOCK).flat_map(|block| Sha256::digest(block).to_vec()).collect();
        levels.push(std::mem::replace(&mut hashes, above));
    }
    Ok((levels, hashes))
}

/// Returns the superblock, of one block: version 1, hash type 1, SHA-256, no salt.
fn superblock(blocks: u64, uuid: [u8; 16]) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK];
    let block = u32::try_from(BLOCK).unwrap_or_default().to_le_bytes();
    let fields: [(usize, &[u8]); 8] = [
        (0, b"verity"),
        (8, &1u32.to_le_bytes()),
        (12, &1u32.to_le_bytes()),
        (16, &uuid),
        (32, b"sha256"),
        (64, &block),
        (68, &block),
        (72, &blocks.to_le_bytes()),
    ];
    for (at, field) in fields {
        bytes[at..at + field.len()].copy_from_slice(field);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek;

    /// The tree of a file of this many blocks, in bytes, and its hash.
    fn of(blocks: u8) -> (usize, Digest) {
        let mut file = tempfile::tempfile().unwrap();
        (0..blocks).for_each(|block| file.write_all(&[block; BLOCK]).unwrap());
        file.rewind().unwrap();
        let mut out = Vec::new();
        let hash = write(&file, [0; 16], &mut out).unwrap().unwrap();
        (out.len(), hash)
    }

    #[test]
    fn a_tree_has_a_level_for_each_128_hashes_and_none_for_a_single_block() {
        assert_eq!(of(1), (BLOCK, Digest::of(&[0; BLOCK])));
        assert_eq!(of(128).0, 2 * BLOCK);
        assert_eq!(of(129).0, 4 * BLOCK, "two blocks of hashes, and one of theirs");
        assert_ne!(of(2).1, of(3).1);
        let mut odd = tempfile::tempfile().unwrap();
        odd.write_all(b"less than a block").unwrap();
        odd.rewind().unwrap();
        assert_eq!(write(&odd, [0; 16], &mut Vec::new()).unwrap(), None);
    }
}
