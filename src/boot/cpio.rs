//! The names in an initramfs: newc cpio archives, one after the other
//! (kernel: driver-api/early-userspace/buffer-format.rst).

use crate::error::{Result, failed};
use std::collections::BTreeSet;

/// Length of a newc header: a magic of 6 and 13 fields of 8 hexadecimal digits.
const HEADER: usize = 110;
/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// One archive of an uncompressed initramfs.
#[derive(Debug)]
pub struct Archive {
    /// Bytes of it, with the zeros that follow.
    pub length: usize,
    /// What is in it.
    pub names: BTreeSet<String>,
}

/// Reads the archive that `bytes` begin with.
pub fn first(bytes: &[u8]) -> Result<Archive> {
    let odd = |at: usize| failed(format!("the initramfs is damaged: no cpio header at byte {at}"), "");
    let mut names = BTreeSet::new();
    let mut at = 0;
    loop {
        let header = bytes.get(at..at + HEADER).filter(|header| header.starts_with(b"07070")).ok_or_else(|| odd(at))?;
        let field = |index: usize| {
            let digits = std::str::from_utf8(&header[6 + 8 * index..14 + 8 * index]).ok()?;
            usize::from_str_radix(digits, 16).ok()
        };
        // Fields 6 and 11: c_filesize and c_namesize, which counts the NUL.
        let (file, name) = field(6).zip(field(11)).ok_or_else(|| odd(at))?;
        let name_end = at.checked_add(HEADER + name).ok_or_else(|| odd(at))?;
        let text = bytes.get(at + HEADER..name_end).and_then(|text| text.strip_suffix(b"\0")).ok_or_else(|| odd(at))?;
        let next = up(name_end, 4).checked_add(file).map(|end| up(end, 4)).ok_or_else(|| odd(at))?;
        if text == TRAILER {
            let zeros = bytes[next.min(bytes.len())..].iter().take_while(|byte| **byte == 0).count();
            return Ok(Archive { length: next.min(bytes.len()) + zeros, names });
        }
        names.insert(String::from_utf8_lossy(text).into_owned());
        at = next;
    }
}

/// `at` rounded up to a multiple of `to`.
fn up(at: usize, to: usize) -> usize {
    at.next_multiple_of(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes =
            format!("070701{:048}{:08x}{:032}{:08x}{:08}{name}\0", 0, content.len(), 0, name.len() + 1, 0).into_bytes();
        bytes.resize(up(bytes.len(), 4), 0);
        bytes.extend_from_slice(content);
        bytes.resize(up(bytes.len(), 4), 0);
        bytes
    }

    #[test]
    fn the_first_of_two_archives_is_told_from_the_second() {
        let mut early = [file("early_cpio", b"1\n"), file("TRAILER!!!", b"")].concat();
        early.resize(up(early.len(), 512), 0);
        let main = [file("init", b"x"), file("lib/x.ko", b"yy"), file("TRAILER!!!", b"")].concat();
        let both = [early.clone(), main.clone()].concat();
        let one = first(&both).unwrap();
        assert_eq!(one.length, early.len());
        assert!(one.names.contains("early_cpio"));
        let two = first(&both[one.length..]).unwrap();
        assert_eq!(two.names.into_iter().collect::<Vec<_>>(), ["init", "lib/x.ko"]);
    }

    #[test]
    fn absurd_and_short_archives_are_errors() {
        let whole = [file("init", b"x"), file("TRAILER!!!", b"")].concat();
        for odd in [&b""[..], b"07070", &whole[..whole.len() - 20], &[b'7'; 200], b"070701ffffffff"] {
            assert!(first(odd).is_err());
        }
        let mut huge = file("init", b"x");
        huge[54..62].copy_from_slice(b"ffffffff");
        assert!(first(&huge).is_err());
    }
}
