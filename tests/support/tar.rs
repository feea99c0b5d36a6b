//! Tar archives made byte by byte, so that a test can write what no tar program would.

use std::fmt;

/// A tar archive is a row of blocks of 512 bytes (tar(5)).
pub const BLOCK: usize = 512;

/// An archive in the making: entries and raw bytes, one after the other.
#[derive(Clone, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// An archive of these entries, with its end.
    pub fn of(items: impl IntoIterator<Item = Item>) -> Vec<u8> {
        items.into_iter().fold(Tar::default(), Tar::add).finish()
    }

    /// Adds an entry: extended headers if it needs them, header, body, padding.
    pub fn add(mut self, item: Item) -> Tar {
        self.0.extend(item.bytes());
        self
    }

    /// Adds bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Tar {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The archive without an end.
    pub fn unfinished(self) -> Vec<u8> {
        self.0
    }

    /// The archive with the two zero blocks that end it.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 2 * BLOCK]);
        self.0
    }
}

/// How a name is written that the header's 100 bytes do not hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LongNames {
    Pax,
    Gnu,
}

/// One entry. Made by [`dir`], [`file`] and so on; the methods change what these set.
#[derive(Clone)]
pub struct Item {
    kind: u8,
    name: Vec<u8>,
    link: Vec<u8>,
    body: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    mtime: (i64, u32),
    device: (u32, u32),
    records: Vec<u8>,
    long_names: LongNames,
    patches: Vec<(usize, Vec<u8>)>,
}

fn item(kind: u8, name: impl AsRef<[u8]>, mode: u32) -> Item {
    Item {
        kind,
        name: name.as_ref().to_vec(),
        link: Vec::new(),
        body: Vec::new(),
        mode,
        owner: (0, 0),
        mtime: (1_500_000_000, 0),
        device: (0, 0),
        records: Vec::new(),
        long_names: LongNames::Pax,
        patches: Vec::new(),
    }
}

/// A directory, 0755.
pub fn dir(name: impl AsRef<[u8]>) -> Item {
    item(b'5', name, 0o755)
}

/// A regular file, 0644.
pub fn file(name: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Item {
    Item { body: body.as_ref().to_vec(), ..item(b'0', name, 0o644) }
}

/// A symbolic link.
pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Item {
    Item { link: target.as_ref().to_vec(), ..item(b'2', name, 0o777) }
}

/// A hard link to the entry `target`.
pub fn hardlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Item {
    Item { link: target.as_ref().to_vec(), ..item(b'1', name, 0o644) }
}

/// A character device, 0600.
pub fn character(name: impl AsRef<[u8]>, major: u32, minor: u32) -> Item {
    Item { device: (major, minor), ..item(b'3', name, 0o600) }
}

/// A block device, 0600.
pub fn block(name: impl AsRef<[u8]>, major: u32, minor: u32) -> Item {
    Item { device: (major, minor), ..item(b'4', name, 0o600) }
}

/// A named pipe, 0600.
pub fn fifo(name: impl AsRef<[u8]>) -> Item {
    item(b'6', name, 0o600)
}

/// The whiteout of `path`: an empty file beside it, named `.wh.` and its name.
pub fn whiteout(path: &str) -> Item {
    let (folder, name) = path.rsplit_once('/').map_or((String::new(), path), |(f, n)| (format!("{f}/"), n));
    file(format!("{folder}.wh.{name}"), "")
}

/// The opaque whiteout of the directory `path`; the root's is that of `.`.
pub fn opaque(path: &str) -> Item {
    file(format!("{path}/.wh..wh..opq"), "")
}

/// An entry of any type with any body: extended headers, types that nobody knows.
pub fn odd(kind: u8, name: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Item {
    Item { body: body.as_ref().to_vec(), ..item(kind, name, 0o644) }
}

/// A PAX extended header on its own, with `records` as they are.
pub fn pax(records: impl AsRef<[u8]>) -> Item {
    odd(b'x', "PaxHeaders/0", records)
}

/// One well-formed PAX record, `LENGTH KEY=VALUE\n`, where the length counts itself.
pub fn record(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let rest = [b" ", key.as_ref(), b"=", value.as_ref(), b"\n"].concat();
    let length = (rest.len()..).find(|length| length.to_string().len() + rest.len() == *length).unwrap();
    [length.to_string().into_bytes(), rest].concat()
}

impl Item {
    pub fn mode(mut self, mode: u32) -> Item {
        self.mode = mode;
        self
    }

    pub fn owner(mut self, uid: u64, gid: u64) -> Item {
        self.owner = (uid, gid);
        self
    }

    /// Seconds and nanoseconds; what a header does not hold goes into a PAX record.
    pub fn mtime(mut self, seconds: i64, nanoseconds: u32) -> Item {
        self.mtime = (seconds, nanoseconds);
        self
    }

    /// Adds a PAX record for this entry.
    pub fn record(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Item {
        self.records.extend(record(key, value));
        self
    }

    pub fn xattr(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Item {
        self.record([b"SCHILY.xattr.", name.as_ref()].concat(), value)
    }

    pub fn long_names(mut self, how: LongNames) -> Item {
        self.long_names = how;
        self
    }

    /// Puts `bytes` over the header at `offset`; the checksum is made to fit.
    pub fn patch(mut self, offset: usize, bytes: impl AsRef<[u8]>) -> Item {
        self.patches.push((offset, bytes.as_ref().to_vec()));
        self
    }

    /// Puts another size into the header than the body has, as base 256 if it needs to.
    pub fn claiming(self, size: i128) -> Item {
        self.patch(124, number(size, 12))
    }

    /// The header alone, checksum included.
    pub fn header(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |offset: usize, bytes: &[u8]| block[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, &number(self.mode.into(), 8));
        put(108, &number(self.owner.0.into(), 8));
        put(116, &number(self.owner.1.into(), 8));
        put(124, &number(self.body.len() as i128, 12));
        put(136, &number(self.mtime.0.into(), 12));
        put(156, &[self.kind]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        if matches!(self.kind, b'3' | b'4') {
            put(329, &number(self.device.0.into(), 8));
            put(337, &number(self.device.1.into(), 8));
        }
        for (offset, bytes) in &self.patches {
            put(*offset, bytes);
        }
        put(148, b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    /// All of the entry: extended headers, header, body, padding.
    pub fn bytes(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if matches!(self.kind, b'x' | b'g' | b'L' | b'K') {
            return [&self.header()[..], &padded(&self.body)].concat();
        }
        for (kind, key, value) in [(b'L', "path", self.name.clone()), (b'K', "linkpath", self.link.clone())] {
            if value.len() > 100 && self.long_names == LongNames::Gnu {
                let gnu = odd(kind, "././@LongLink", [&value[..], b"\0"].concat()).patch(257, b"ustar  \0");
                bytes.extend(gnu.bytes());
            } else if value.len() > 100 {
                self = self.record(key, &value);
            }
        }
        let (seconds, nanoseconds) = self.mtime;
        if nanoseconds > 0 || seconds < 0 {
            self = self.record("mtime", decimal(seconds, nanoseconds));
            self.mtime.0 = seconds.max(0);
        }
        if !self.records.is_empty() {
            bytes.extend(pax(&self.records).bytes());
        }
        bytes.extend(self.header());
        bytes.extend(padded(&self.body));
        bytes
    }
}

/// The entry as a failure shows it: type, name, link target.
impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", char::from(self.kind), self.name.escape_ascii())?;
        if self.link.is_empty() { Ok(()) } else { write!(f, " -> {}", self.link.escape_ascii()) }
    }
}

/// A number field: octal where that has room, else base 256 in two's complement (GNU tar manual,
/// "Extensions to the archive format").
pub fn number(value: i128, width: usize) -> Vec<u8> {
    let octal = format!("{:01$o}\0", value, width - 1);
    if value >= 0 && octal.len() == width {
        return octal.into_bytes();
    }
    let mut field = value.to_be_bytes()[16 - width..].to_vec();
    field[0] |= 0x80;
    field
}

/// Seconds since 1970 as PAX writes them; before 1970 the fraction counts away from zero.
fn decimal(seconds: i64, nanoseconds: u32) -> String {
    if seconds < 0 && nanoseconds > 0 {
        let whole = seconds + 1;
        return format!("-{}.{:09}", -whole, 1_000_000_000 - nanoseconds);
    }
    format!("{seconds}.{nanoseconds:09}")
}

fn padded(body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(BLOCK), 0);
    body
}
