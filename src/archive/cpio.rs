//! Reads the newc cpio archives of an initramfs
//! (kernel: driver-api/early-userspace/buffer-format.rst).

use crate::archive::counted::Stream;
use crate::error::{Result, failed, from_io};
use std::collections::BTreeSet;
use std::io::Read;

/// Length in bytes of a newc header: a magic of 6, and 13 fields of 8 hexadecimal digits.
const HEADER: usize = 110;
/// Magics of a header: newc, and newc with checksums, which are ignored here.
pub(crate) const MAGICS: [&[u8]; 2] = [b"070701", b"070702"];
/// Maximum length in bytes of a name, including its NUL, that a kernel unpacks (`PATH_MAX`, linux/limits.h).
pub(crate) const NAME_MAX: u32 = 4096;
/// Name of the entry that ends an archive.
pub(crate) const TRAILER: &str = "TRAILER!!!";
/// Hint for an initramfs that is damaged or that the kernel cannot read.
pub const REMAKE: &str =
    "build it again in the image, with dracut or whatever built it there, and read what that prints";

/// One archive of an uncompressed initramfs.
#[derive(Debug)]
pub struct Archive {
    /// Length in bytes, including the zeros that follow.
    pub length: u64,
    /// Paths of its files, as [`Entry`] has them.
    pub names: BTreeSet<String>,
}

/// One file in an archive, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root, without a leading `./` or `/`; empty for the root itself.
    pub name: String,
    /// File type and permissions, as in `st_mode` (inode(7)).
    pub mode: u32,
    /// Size in bytes of the content.
    pub size: u64,
}

/// Reads the archive that begins at the position of `input`, and the zeros that follow it. Keeps only names,
/// so that the memory does not depend on the contents of files.
pub fn first(input: &mut Stream<impl Read>) -> Result<Archive> {
    let begin = input.at();
    let mut names = BTreeSet::new();
    walk(input, |entry| {
        names.insert(entry.name);
        Ok(())
    })?;
    input.pass_zeros().map_err(from_io)?;
    Ok(Archive { length: input.at() - begin, names })
}

/// Passes each entry of the archive that begins at the position of `input` to `visit`, and reads to the end of
/// the trailer. Fails if the archive has no trailer. Keeps no content.
pub fn walk(input: &mut Stream<impl Read>, mut visit: impl FnMut(Entry) -> Result<()>) -> Result<()> {
    while let Some(entry) = next(input)? {
        visit(entry)?;
    }
    Ok(())
}

/// Strips leading `./` and `/` from a path, as in [`Entry::name`].
pub fn from_root(path: &str) -> &str {
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./").or_else(|| path.strip_prefix('/')) {
        path = rest;
    }
    if path == "." { "" } else { path }
}

/// Reads the next entry, and skips its content; `None` at the end of the archive.
fn next(input: &mut Stream<impl Read>) -> Result<Option<Entry>> {
    let Some((name, header)) = open(input)? else { return Ok(None) };
    let end = u64::from(header.size).next_multiple_of(4);
    if input.pass(end).map_err(from_io)? < end {
        return Err(cut(input, &format!("in '{}', which claims {} bytes", name.escape_debug(), header.size)));
    }
    Ok(Some(Entry { name: from_root(&name).to_owned(), mode: header.mode, size: header.size.into() }))
}

/// Reads the name and the header of the next entry, up to its content, which ends at a multiple of 4 bytes after it
/// began; `None` at the end of the archive.
pub(crate) fn open(input: &mut Stream<impl Read>) -> Result<Option<(String, Header)>> {
    let header = header(input)?;
    let name = name(input, header.name)?;
    let read = HEADER as u64 + u64::from(header.name);
    let padding = read.next_multiple_of(4) - read;
    if input.pass(padding).map_err(from_io)? < padding {
        return Err(cut(input, &format!("in '{}', which claims {} bytes", name.escape_debug(), header.size)));
    }
    Ok((name != TRAILER).then_some((name, header)))
}

/// The fields of a header that are used.
pub(crate) struct Header {
    /// Number of the node, equal for all names of it.
    pub inode: u32,
    /// Type and permissions, as in `st_mode` (inode(7)).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub links: u32,
    /// Modification time in seconds since 1970.
    pub mtime: u32,
    /// Size in bytes of the content.
    pub size: u32,
    /// Major and minor number of the device that it was on.
    pub on: (u32, u32),
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Length in bytes of the name, including its NUL.
    name: u32,
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Header> {
        // In the order of the fields: c_ino, c_mode, c_uid, c_gid, c_nlink, c_mtime, c_filesize, c_devmajor, c_devminor,
        // c_rdevmajor, c_rdevminor, c_namesize.
        let field = |index| field(bytes, index);
        Some(Header {
            inode: field(0)?,
            mode: field(1)?,
            uid: field(2)?,
            gid: field(3)?,
            links: field(4)?,
            mtime: field(5)?,
            size: field(6)?,
            on: (field(7)?, field(8)?),
            device: (field(9)?, field(10)?),
            name: field(11)?,
        })
    }
}

/// Reads a header. Fails if it has another magic, or a name of no bytes or of more than [`NAME_MAX`].
fn header(input: &mut Stream<impl Read>) -> Result<Header> {
    let begin = input.at();
    let bytes = input.peek(HEADER).map_err(from_io)?;
    let damaged = |what: &str, bytes: &[u8]| {
        let found = format!("the initramfs is damaged: {what} at byte {begin}, but '{}'", bytes.escape_ascii());
        failed(found, REMAKE)
    };
    let magic = &bytes[..bytes.len().min(6)];
    if !MAGICS.iter().any(|known| known.starts_with(magic)) {
        return Err(damaged("no cpio header", magic));
    }
    let header = if bytes.len() == HEADER {
        let header = Header::of(bytes).filter(|header| (1..=NAME_MAX).contains(&header.name));
        Some(header.ok_or_else(|| damaged("no valid cpio header", bytes))?)
    } else {
        None
    };
    let length = bytes.len() as u64;
    input.pass(length).map_err(from_io)?;
    match header {
        Some(header) => Ok(header),
        None if length == 0 => Err(cut(input, &format!("before the {TRAILER} that ends a cpio archive"))),
        None => Err(cut(input, "in a cpio header")),
    }
}

/// Returns the field `index` of a header, counted from 0: eight hexadecimal digits after the magic.
fn field(header: &[u8], index: usize) -> Option<u32> {
    let digits = header.get(6 + 8 * index..14 + 8 * index)?;
    // The parser accepts a sign, which is not a digit.
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

/// Reads a name of `length` bytes. Everything after its first NUL is padding, as it is for the kernel:
/// dracut-cpio adds it to align the content that follows.
fn name(input: &mut Stream<impl Read>, length: u32) -> Result<String> {
    let begin = input.at();
    let bytes = input.peek(usize::try_from(length)?).map_err(from_io)?.to_vec();
    if input.pass(u64::from(length)).map_err(from_io)? < u64::from(length) {
        return Err(cut(input, "in a file's name"));
    }
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else {
        let found =
            format!("the initramfs is damaged: the name at byte {begin} does not end: '{}'", bytes.escape_ascii());
        return Err(failed(found, REMAKE));
    };
    Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

/// Makes the error for an archive that ends too early.
fn cut<R: Read>(input: &Stream<R>, place: &str) -> anyhow::Error {
    failed(format!("the initramfs is cut short: it ends at byte {}, {place}", input.at()), REMAKE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> Stream<&[u8]> {
        Stream::new(bytes, u64::MAX)
    }

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
        let mut input = open(&both);
        let one = first(&mut input).unwrap();
        assert_eq!(one.length, early.len() as u64);
        assert!(one.names.contains("early_cpio"));
        let two = first(&mut input).unwrap();
        assert_eq!(two.names.into_iter().collect::<Vec<_>>(), ["init", "lib/x.ko"]);
        assert_eq!(two.length, main.len() as u64);
    }

    #[test]
    fn absurd_and_short_archives_are_errors() {
        let whole = [file("init", b"x"), file("TRAILER!!!", b"")].concat();
        for odd in [&b""[..], b"07070", &whole[..whole.len() - 20], &[b'7'; 200], b"070701ffffffff"] {
            assert!(first(&mut open(odd)).is_err());
        }
        // c_filesize; c_namesize, once absurd and once 0; a sign in a number.
        for (at, odd) in [(54, "ffffffff"), (94, "ffffffff"), (94, "00000000"), (14, "+00081a4"), (94, "00000004")] {
            let mut whole = whole.clone();
            whole[at..at + 8].copy_from_slice(odd.as_bytes());
            assert!(first(&mut open(&whole)).is_err(), "{odd} at {at}");
        }
    }

    #[test]
    fn an_error_says_at_which_byte_it_stands_and_what_was_found() {
        let whole = [file("init", b"x"), file("TRAILER!!!", b"")].concat();
        let said = |bytes: &[u8]| format!("{:#}", first(&mut open(bytes)).unwrap_err());
        let begin = file("init", b"x").len();
        assert!(said(&[&whole[..begin], b"junk!!\n"].concat()).contains(&format!("at byte {begin}, but 'junk!!'")));
        assert!(said(&whole[..begin]).contains(&format!("ends at byte {begin}, before the TRAILER!!!")));
        assert!(said(&whole[..50]).contains("ends at byte 50, in a cpio header"));
        assert!(said(&whole[..112]).contains("ends at byte 112, in a file's name"));
        assert!(said(&whole[..begin - 1]).contains("in 'init', which claims 1 bytes"));
    }

    #[test]
    fn a_name_may_be_padded_with_nuls_and_begin_at_the_root() {
        let archive = [file("./etc/fstab\0\0\0\0\0", b"x"), file("/init", b""), file("TRAILER!!!", b"")].concat();
        let names = first(&mut open(&archive)).unwrap().names;
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["etc/fstab", "init"]);
    }

    #[test]
    fn a_name_is_no_longer_than_a_path_of_the_kernel() {
        let named = |length: usize| [file(&"\0".repeat(length - 1), b""), file("TRAILER!!!", b"")].concat();
        assert!(first(&mut open(&named(4096))).is_ok());
        assert!(first(&mut open(&named(4097))).is_err());
    }
}
