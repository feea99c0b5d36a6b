//! Sparse files in GNU tar's four forms, as mkosi writes them: the map of the parts that the archive has
//! (GNU tar manual, "Storing Sparse Files").

use crate::error::{Result, failed};
use crate::layer::REBUILD;

/// The most parts of one file: 21 bytes for each are 1 MiB, the limit of extended headers.
const PARTS_MAX: usize = 50_000;
/// Bytes of one part in a header of the old form: an offset and a length of 12 bytes each.
const PART: usize = 24;
/// Longest number in a map, in bytes.
const DIGITS: usize = 20;

/// A part of a file: where it begins in the file, and its length in bytes.
pub type Part = (u64, u64);

/// PAX records of a sparse file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// `GNU.sparse.name`: the file's name; the entry's own is made up.
    pub name: Option<Vec<u8>>,
    /// `GNU.sparse.size` or `GNU.sparse.realsize`: length of the file in bytes.
    pub size: Option<u64>,
    /// Major and minor version, of 1.0 alone.
    version: (Option<u64>, Option<u64>),
    /// The numbers of the map, in the order of the records (versions 0.0 and 0.1).
    numbers: Vec<u64>,
}

impl Records {
    /// Takes a record, without `GNU.sparse.` at the start of its key. Refuses one that is malformed.
    pub fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let odd = || failed(format!("GNU.sparse.{} is invalid", key.escape_ascii()), REBUILD);
        let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(number(value).ok_or_else(odd)?),
            b"major" => self.version.0 = Some(number(value).ok_or_else(odd)?),
            b"minor" => self.version.1 = Some(number(value).ok_or_else(odd)?),
            // The two alternate.
            b"offset" if self.numbers.len().is_multiple_of(2) => self.numbers.push(number(value).ok_or_else(odd)?),
            b"numbytes" if !self.numbers.len().is_multiple_of(2) => self.numbers.push(number(value).ok_or_else(odd)?),
            b"offset" | b"numbytes" => return Err(odd()),
            b"map" => {
                let numbers: Option<Vec<u64>> = value.split(|byte| *byte == b',').map(number).collect();
                self.numbers = numbers.ok_or_else(odd)?;
            }
            _ => {} // numblocks
        }
        Ok(())
    }

    /// Returns true if there was any record.
    pub fn any(&self) -> bool {
        *self != Records::default()
    }

    /// Returns the map of versions 0.0 and 0.1; `None` for 1.0, which has it at the start of the body. Refuses other
    /// versions, and half a part.
    pub fn parts(&self) -> Result<Option<Vec<Part>>> {
        match self.version {
            (Some(1), Some(0)) if self.numbers.is_empty() => Ok(None),
            (None | Some(0), _) if self.numbers.len().is_multiple_of(2) => Ok(Some(pairs(&self.numbers))),
            _ => Err(failed("a sparse file of an unknown version, or with half a part", REBUILD)),
        }
    }
}

/// A map at the start of a body (version 1.0): the number of parts, then the numbers of each, a line each.
#[derive(Debug, Default)]
pub struct BodyMap {
    numbers: Vec<u64>,
    digits: Vec<u8>,
}

impl BodyMap {
    /// Takes the next block of the body; returns true if the map ends in it.
    pub fn take(&mut self, block: &[u8]) -> Result<bool> {
        let odd = || failed("the map of a sparse file is malformed", REBUILD);
        for byte in block {
            match byte {
                b'0'..=b'9' if self.digits.len() < DIGITS => self.digits.push(*byte),
                b'\n' => {
                    let number = std::str::from_utf8(&self.digits).ok().and_then(|digits| digits.parse().ok());
                    self.numbers.push(number.ok_or_else(odd)?);
                    self.digits.clear();
                    if self.is_whole()? {
                        return Ok(true);
                    }
                }
                _ => return Err(odd()),
            }
        }
        Ok(false)
    }

    fn is_whole(&self) -> Result<bool> {
        let count = usize::try_from(self.numbers[0]).ok().filter(|count| *count <= PARTS_MAX);
        let count = count.ok_or_else(|| failed("a sparse file has too many parts", REBUILD))?;
        Ok(self.numbers.len() > 2 * count)
    }

    /// Returns the parts.
    pub fn parts(&self) -> Vec<Part> {
        pairs(self.numbers.get(1..).unwrap_or_default())
    }
}

fn pairs(numbers: &[u64]) -> Vec<Part> {
    numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

/// Reads the parts in a header of the old form (type `S`), or in a block that follows it. `number` reads a number of
/// tar. An unused place ends the list.
pub fn old_parts(places: &[u8], number: impl Fn(&[u8]) -> Result<u64>) -> Result<Vec<Part>> {
    let used = places.chunks_exact(PART).take_while(|place| place[12] != 0);
    used.map(|place| Ok((number(&place[..12])?, number(&place[12..])?))).collect()
}

/// Refuses parts that are out of order, overlap, leave the file of `size` bytes, or are not what the archive has of it:
/// `stored` bytes.
pub fn check(parts: &[Part], size: u64, stored: u64) -> Result<()> {
    let mut end = 0;
    let mut total = 0u64;
    for (offset, length) in parts {
        let next = offset.checked_add(*length).filter(|next| *offset >= end && *next <= size);
        end = next.ok_or_else(|| failed("the parts of a sparse file overlap, or leave the file", REBUILD))?;
        total += length;
    }
    if total != stored {
        let found = format!("the {} parts of a sparse file have {total} bytes, and the archive {stored}", parts.len());
        return Err(failed(found, REBUILD));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_may_lie_across_blocks_and_ends_where_it_says() {
        let mut map = BodyMap::default();
        assert!(!map.take(b"2\n0\n10").unwrap());
        assert!(map.take(b"24\n4096\n5\n").unwrap());
        assert_eq!(map.parts(), [(0, 1024), (4096, 5)]);
        assert!(BodyMap::default().take(b"0\n").unwrap());
        for odd in [&b"x"[..], b"\n", b"60000\n", b"99999999999999999999\n", &[b'1'; 30]] {
            assert!(BodyMap::default().take(odd).is_err(), "{}", odd.escape_ascii());
        }
    }

    #[test]
    fn a30_parts_that_cannot_be_are_refused() {
        assert!(check(&[(0, 5), (10, 5)], 20, 10).is_ok());
        assert!(check(&[], 1 << 60, 0).is_ok());
        for (parts, stored) in
            [(vec![(0, 5), (4, 5)], 10), (vec![(18, 5)], 5), (vec![(u64::MAX, 2)], 2), (vec![(0, 5)], 6)]
        {
            assert!(check(&parts, 20, stored).is_err(), "{parts:?}");
        }
    }
}
