//! Writes a root as a tar archive in PAX format (pax(1), tar(5)): equal roots make equal bytes.

use crate::error::{Result, failed};
use crate::layer::entry::Time;
use crate::root::walk::{NodeKind, Visited, Walk};
use anyhow::Context;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use tar::{EntryType, Header};

/// Size in bytes of the blocks that make up a tar archive (tar(5)).
const BLOCK: usize = 512;
/// Longest name, and longest target of a link, that a header's field can hold, in bytes.
const NAME_FIELD: usize = 100;
/// Largest owner or group that the seven octal digits of a header can hold.
const ID_MAX: u32 = 0o777_7777;
/// Largest size or time that the eleven octal digits of a header can hold.
const NUMBER_MAX: u64 = 0o777_7777_7777;
/// Name of extended headers, for programs that do not know them and write them as files.
const EXTENDED: &[u8] = b"PaxHeaders/flipslot";

/// Writes all nodes of `root` in the order of the walk, the root itself as `./`, and the end of the archive.
///
/// Names keep their bytes. A node's second name is a hard link to its first one, with the metadata again, which
/// some readers set again. Extended attributes are `SCHILY.xattr.` records, as in a layer. Sockets are left out,
/// and names of owners. Fails for an attribute whose name has a `=`, which no record can carry.
pub fn write_tar(root: &dyn Walk, out: &mut dyn Write) -> Result<()> {
    let mut first_names = HashMap::new();
    root.walk(&mut |visited| {
        let writing = || format!("writing /{} to the archive", visited.path.escape_ascii());
        let mut first = None;
        if visited.kind != NodeKind::Directory && visited.links > 1 {
            first = first_names.get(&visited.inode).cloned();
            if first.is_none() {
                first_names.insert(visited.inode, visited.path.to_vec());
            }
        }
        let Some(kind) = Kind::of(visited, first) else { return Ok(()) };
        write_entry(visited, &kind, out).with_context(writing)
    })?;
    out.write_all(&[0; 2 * BLOCK]).context("writing the end of the archive")
}

/// The type of an entry, with what its header says.
struct Kind {
    entry: EntryType,
    /// Target of a link of either type; empty for anything else.
    link: Vec<u8>,
    /// Length of the body in bytes.
    size: u64,
    /// Device numbers of a device.
    device: Option<Device>,
}

/// The numbers of a device.
struct Device {
    major: u32,
    minor: u32,
}

impl Kind {
    /// Returns the type of a node that may have had a first name before; `None` for a socket.
    fn of(visited: &Visited, first: Option<Vec<u8>>) -> Option<Kind> {
        let plain = |entry| Kind { entry, link: Vec::new(), size: 0, device: None };
        let device = |entry, major: &u32, minor: &u32| Kind {
            device: Some(Device { major: *major, minor: *minor }),
            ..plain(entry)
        };
        let kind = match &visited.kind {
            NodeKind::Socket => return None,
            _ if first.is_some() => Kind { link: first.unwrap_or_default(), ..plain(EntryType::Link) },
            NodeKind::Directory => plain(EntryType::Directory),
            NodeKind::File { size } => Kind { size: *size, ..plain(EntryType::Regular) },
            NodeKind::Symlink { target } => Kind { link: target.clone(), ..plain(EntryType::Symlink) },
            NodeKind::Character { major, minor } => device(EntryType::Char, major, minor),
            NodeKind::Block { major, minor } => device(EntryType::Block, major, minor),
            NodeKind::Fifo => plain(EntryType::Fifo),
        };
        Some(kind)
    }
}

/// Writes one entry: the extended header if it needs one, the header, the body.
fn write_entry(visited: &Visited, kind: &Kind, out: &mut dyn Write) -> Result<()> {
    let name = match (visited.path, &visited.kind) {
        (b"", _) => b"./".to_vec(),
        (path, NodeKind::Directory) => [path, b"/"].concat(),
        (path, _) => path.to_vec(),
    };
    let mut header = Header::new_ustar();
    let mut records = Records::default();
    header.set_entry_type(kind.entry);
    header.set_mode(visited.meta.mode);
    header.set_uid(records.number("uid", visited.meta.uid.into(), ID_MAX.into()));
    header.set_gid(records.number("gid", visited.meta.gid.into(), ID_MAX.into()));
    header.set_size(records.number("size", kind.size, NUMBER_MAX));
    header.set_mtime(records.time(visited.meta.mtime));
    if let Some(Device { major, minor }) = kind.device {
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
    }
    records.text("path", &name, &mut header.as_old_mut().name);
    records.text("linkpath", &kind.link, &mut header.as_old_mut().linkname);
    for (key, value) in &visited.meta.xattrs {
        records.xattr(key, value)?;
    }
    records.write(out)?;
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    if kind.entry == EntryType::Regular { write_body(visited, kind.size, out) } else { Ok(()) }
}

/// Writes a file's content, which must have exactly `size` bytes, and the padding after it.
fn write_body(visited: &Visited, size: u64, out: &mut dyn Write) -> Result<()> {
    let written = io::copy(&mut visited.open()?.take(size.saturating_add(1)), out)?;
    if written != size {
        let found = format!("the file changed while it was read: it had {size} bytes, and then {written}");
        return Err(failed(found, "run the command again while nothing writes to the root"));
    }
    pad(size, out)
}

/// Writes zeros up to the end of a block after `length` bytes.
fn pad(length: u64, out: &mut dyn Write) -> Result<()> {
    let padding = usize::try_from(length.wrapping_neg() % BLOCK as u64)?;
    Ok(out.write_all(&[0; BLOCK][..padding])?)
}

/// The records of one extended header.
#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    /// Adds a record: its length in decimal, which counts itself, key, value, newline.
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + b" =\n".len();
        let mut length = rest + 1;
        while rest + length.to_string().len() != length {
            length = rest + length.to_string().len();
        }
        self.0.extend_from_slice(format!("{length} ").as_bytes());
        self.0.extend_from_slice(&[key, b"=", value, b"\n"].concat());
    }

    /// Returns the number for the header; adds a record and returns 0 if it is larger than `most`.
    fn number(&mut self, key: &str, number: u64, most: u64) -> u64 {
        if number <= most {
            return number;
        }
        self.add(key.as_bytes(), number.to_string().as_bytes());
        0
    }

    /// Returns the seconds for the header; adds a record if these are not all of the time.
    fn time(&mut self, time: Time) -> u64 {
        let Time { seconds, nanoseconds } = time;
        let whole = u64::try_from(seconds).ok().filter(|seconds| *seconds <= NUMBER_MAX);
        if nanoseconds > 0 || whole.is_none() {
            self.add(b"mtime", decimal(seconds, nanoseconds).as_bytes());
        }
        whole.unwrap_or(0)
    }

    /// Puts a name into the header's field, or adds a record if it is too long for it. A record is UTF-8 unless
    /// another one says that it is not (pax(1), hdrcharset, of which `BINARY` means any bytes).
    fn text(&mut self, key: &str, text: &[u8], field: &mut [u8; NAME_FIELD]) {
        let fits = text.len().min(NAME_FIELD);
        field[..fits].copy_from_slice(&text[..fits]);
        if text.len() > NAME_FIELD {
            if std::str::from_utf8(text).is_err() {
                self.add(b"hdrcharset", b"BINARY");
            }
            self.add(key.as_bytes(), text);
        }
    }

    fn xattr(&mut self, name: &[u8], value: &[u8]) -> Result<()> {
        if name.contains(&b'=') {
            let found = format!("a tar archive cannot hold the extended attribute '{}'", name.escape_ascii());
            return Err(failed(found, "remove it: setfattr -x"));
        }
        self.add(&[b"SCHILY.xattr.", name].concat(), value);
        Ok(())
    }

    /// Writes the extended header, if there is any record.
    fn write(&self, out: &mut dyn Write) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.as_old_mut().name[..EXTENDED.len()].copy_from_slice(EXTENDED);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(self.0.len() as u64);
        header.set_cksum();
        out.write_all(header.as_bytes())?;
        out.write_all(&self.0)?;
        pad(self.0.len() as u64, out)
    }
}

/// Writes a time as `[-]seconds[.nanoseconds]`; the fraction of a time before 1970 counts backwards too.
fn decimal(seconds: i64, nanoseconds: u32) -> String {
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    if seconds < 0 {
        return format!("-{}.{:09}", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds);
    }
    format!("{seconds}.{nanoseconds:09}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for (value, length) in [(0, 5), (4, 9), (5, 11), (93, 99), (94, 101), (991, 998), (992, 999), (993, 1001)] {
            let mut records = Records::default();
            records.add(b"k", &vec![b'v'; value]);
            assert_eq!(records.0.len(), length, "{value}");
            let text = String::from_utf8(records.0.clone()).unwrap();
            assert!(text.starts_with(&format!("{} k=", text.len())), "{text}");
        }
    }

    #[test]
    fn numbers_that_a_header_cannot_hold_are_records() {
        let mut records = Records::default();
        assert_eq!(records.number("size", NUMBER_MAX, NUMBER_MAX), NUMBER_MAX);
        assert_eq!(records.number("size", NUMBER_MAX + 1, NUMBER_MAX), 0);
        assert_eq!(records.time(Time { seconds: -1, nanoseconds: 0 }), 0);
        assert_eq!(records.time(Time { seconds: 1 << 33, nanoseconds: 0 }), 0);
        assert_eq!(records.0, b"19 size=8589934592\n12 mtime=-1\n20 mtime=8589934592\n");
    }

    #[test]
    fn times_before_1970_are_negative_as_a_whole() {
        assert_eq!(decimal(7, 0), "7");
        assert_eq!(decimal(1_350_244_992, 23_960_108), "1350244992.023960108");
        assert_eq!(decimal(-2, 500_000_000), "-1.500000000");
        assert_eq!(decimal(-1, 750_000_000), "-0.250000000");
        assert_eq!(decimal(-86_400, 0), "-86400");
        assert_eq!(decimal(i64::MIN, 1), "-9223372036854775807.999999999");
    }
}
