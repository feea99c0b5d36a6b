//! The names in an initramfs: newc cpio archives, one after the other
//! (kernel: driver-api/early-userspace/buffer-format.rst).

use crate::error::{Result, failed};
use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

/// Length of a newc header: a magic of 6 and 13 fields of 8 hexadecimal digits.
const HEADER: usize = 110;
/// The longest name, with its NUL, that a kernel unpacks (`PATH_MAX`, linux/limits.h).
const NAME_MAX: u64 = 4096;
/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// One archive of an uncompressed initramfs.
#[derive(Debug)]
pub struct Archive {
    /// Bytes of it, with the zeros that follow.
    pub length: u64,
    /// What is in it.
    pub names: BTreeSet<String>,
}

/// Reads the archive that `input` begins with, and the zeros that follow it. Only names are kept,
/// so the memory does not depend on what is in it.
pub fn first(input: &mut impl BufRead) -> Result<Archive> {
    let mut names = BTreeSet::new();
    let mut at = 0;
    loop {
        let odd = || {
            failed(
                format!("the initramfs is damaged: no cpio header at byte {at}"),
                "run dracut in the image to see why",
            )
        };
        let mut header = [0; HEADER];
        input.read_exact(&mut header).map_err(|_| odd())?;
        let field = |index: usize| {
            let digits = std::str::from_utf8(&header[6 + 8 * index..14 + 8 * index]).ok()?;
            u64::from_str_radix(digits, 16).ok()
        };
        // Fields 6 and 11: c_filesize and c_namesize, which counts the NUL.
        let sizes = field(6).zip(field(11)).filter(|(_, name)| header.starts_with(b"07070") && *name <= NAME_MAX);
        let (file, name) = sizes.ok_or_else(odd)?;
        let mut text = vec![0; usize::try_from(name)?];
        input.read_exact(&mut text).map_err(|_| odd())?;
        let name_end = at + HEADER as u64 + name;
        let next = (name_end.next_multiple_of(4) + file).next_multiple_of(4);
        let passed = io::copy(&mut input.take(next - name_end), &mut io::sink())?;
        let text = text.strip_suffix(b"\0").ok_or_else(odd)?;
        at = name_end + passed;
        if text == TRAILER {
            return Ok(Archive { length: at + pass_zeros(input)?, names });
        }
        names.insert(String::from_utf8_lossy(text).into_owned());
    }
}

/// Reads zeros; returns how many there were.
fn pass_zeros(input: &mut impl BufRead) -> io::Result<u64> {
    let mut total = 0;
    loop {
        let ready = input.fill_buf()?;
        let zeros = ready.iter().take_while(|byte| **byte == 0).count();
        let more = zeros == ready.len() && zeros > 0;
        input.consume(zeros);
        total += zeros as u64;
        if !more {
            return Ok(total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes =
            format!("070701{:048}{:08x}{:032}{:08x}{:08}{name}\0", 0, content.len(), 0, name.len() + 1, 0).into_bytes();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn the_first_of_two_archives_is_told_from_the_second() {
        let mut early = [file("early_cpio", b"1\n"), file("TRAILER!!!", b"")].concat();
        early.resize(early.len().next_multiple_of(512), 0);
        let main = [file("init", b"x"), file("lib/x.ko", b"yy"), file("TRAILER!!!", b"")].concat();
        let both = [early.clone(), main.clone()].concat();
        let mut input = &both[..];
        let one = first(&mut input).unwrap();
        assert_eq!(one.length, early.len() as u64);
        assert!(one.names.contains("early_cpio"));
        let two = first(&mut input).unwrap();
        assert_eq!(two.names.into_iter().collect::<Vec<_>>(), ["init", "lib/x.ko"]);
    }

    #[test]
    fn absurd_and_short_archives_are_errors() {
        let whole = [file("init", b"x"), file("TRAILER!!!", b"")].concat();
        for odd in [&b""[..], b"07070", &whole[..whole.len() - 20], &[b'7'; 200], b"070701ffffffff"] {
            assert!(first(&mut &*odd).is_err());
        }
        let mut huge = file("init", b"x");
        huge[54..62].copy_from_slice(b"ffffffff");
        assert!(first(&mut &huge[..]).is_err());
    }
}
