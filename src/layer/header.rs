//! The fields of a tar header: names and numbers, in every form that other readers know.

use crate::error::{Result, failed};
use crate::layer::REBUILD;
use std::ops::Range;

/// Size in bytes of the blocks that make up a tar archive (tar(5)).
pub const BLOCK: usize = 512;

/// Returns the name in a header: with the prefix of ustar, whatever the version is, and of star (star(5)). Go before
/// 1.8 wrote that prefix with the magic of GNU, where it covers two times; they are no numbers then.
pub fn header_name(block: &[u8; BLOCK]) -> Vec<u8> {
    const MAGIC: Range<usize> = 257..263;
    const MAGIC_OF_GNU: Range<usize> = 257..265;
    const STAR: Range<usize> = 508..512;
    let is_no_time = |field: &[u8]| field[0] != 0 && number(field).is_err();
    let prefix = if block[MAGIC] == *b"ustar\0" {
        if block[STAR] == *b"tar\0" { &block[345..476] } else { &block[345..500] }
    } else if block[MAGIC_OF_GNU] == *b"ustar  \0" && (is_no_time(&block[345..357]) || is_no_time(&block[357..369])) {
        Some(&block[345..500]).filter(|prefix| prefix.is_ascii()).unwrap_or_default()
    } else {
        &[]
    };
    let (prefix, name) = (until_nul(prefix.to_vec()), until_nul(block[..100].to_vec()));
    if prefix.is_empty() { name } else { [&prefix[..], b"/", &name].concat() }
}

/// Parses a number field: octal digits, or base 256 in two's complement if the first bit is set
/// (GNU tar manual, "Extensions to the archive format").
pub fn number(field: &[u8]) -> Result<i128> {
    let odd = || failed(format!("invalid number field '{}'", field.escape_ascii()), REBUILD);
    if field[0] & 0x80 != 0 {
        // The first byte holds a marker bit, a sign bit and six bits of the value.
        let first = i128::from(((field[0] << 1).cast_signed()) >> 1);
        return field[1..].iter().try_fold(first, |value, byte| {
            value.checked_mul(256).and_then(|value| value.checked_add(i128::from(*byte))).ok_or_else(odd)
        });
    }
    let text = std::str::from_utf8(field).map_err(|_| odd())?.trim_matches(|c| c == ' ' || c == '\0');
    if text.is_empty() {
        return Ok(0);
    }
    // Anything after the first NUL or space is not part of the number.
    let digits = text.split(['\0', ' ']).next().unwrap_or_default();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(odd());
    }
    i128::from_str_radix(digits, 8).map_err(|_| odd())
}

/// Reads a number that cannot be negative.
pub fn positive(field: &[u8]) -> Result<u64> {
    let value = number(field)?;
    u64::try_from(value).map_err(|_| failed(format!("{value} is not a length"), REBUILD))
}

/// Returns the bytes before the first NUL.
pub fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(nul) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(nul);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a31_number_fields_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0").unwrap(), 0o644);
        assert_eq!(number(b"  644 \0\0").unwrap(), 0o644);
        assert_eq!(number(b"\0\0\0\0").unwrap(), 0);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]).unwrap(), 1 << 25);
        assert_eq!(number(&[0xff; 12]).unwrap(), -1);
        assert!(number(b"-1234567").is_err());
        assert!(number(b"12x").is_err());
        assert!(number(b"\xc3\x28").is_ok_and(|n| n < 0) || number(b"8").is_err());
    }

    /// A header with this name, magic with version, and prefix.
    fn named(name: &[u8], magic: &[u8; 8], prefix: &[u8]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name);
        block[257..265].copy_from_slice(magic);
        block[345..345 + prefix.len()].copy_from_slice(prefix);
        block
    }

    #[test]
    fn a_prefix_counts_in_every_form_that_others_read() {
        assert_eq!(header_name(&named(b"name", b"ustar\x0000", b"pre/fix")), b"pre/fix/name");
        assert_eq!(header_name(&named(b"name", b"ustar\0\0\0", b"pre/fix")), b"pre/fix/name");
        assert_eq!(header_name(&named(b"name", b"ustar  \0", b"home/of/go")), b"home/of/go/name", "Go before 1.8");
        assert_eq!(header_name(&named(b"name", b"ustar  \0", b"12345670123\x0012345670123")), b"name", "two times");
        assert_eq!(header_name(&named(b"name", b"\0\0\0\0\0\0\0\0", b"pre/fix")), b"name", "version 7");
        let mut star = named(b"name", b"ustar\x0000", &[b'p'; 155]);
        star[508..512].copy_from_slice(b"tar\0");
        assert_eq!(header_name(&star), [&[b'p'; 131][..], b"/name"].concat());
    }
}
