//! The entries of a tar stream, read with every size bounded before anything is allocated.
//!
//! The `tar` crate decodes a header's fields. The walk from header to header is our own, because that
//! crate reads an extended header of any size into memory and lets PAX and ustar disagree.

use crate::error::{Result, failed, from_io};
use crate::layer::REBUILD;
use crate::layer::body::{Body, Rest};
use crate::layer::entry::{Entry, Kind, Meta, Node, Time};
use crate::layer::header::{BLOCK, header_name, number, positive, until_nul};
use crate::layer::path::LayerPath;
use crate::layer::pax::Overrides;
use crate::layer::sparse;
use crate::layer::sparse::{BodyMap, Part};
use anyhow::Context;
use std::io::{BufRead, ErrorKind};
use tar::{EntryType, Header};

/// The most bytes of extended headers (PAX and GNU long names) before one entry.
const EXTENDED_MAX: u64 = 1 << 20;
/// The largest size that the eleven octal digits of a ustar header can hold.
const USTAR_SIZE_MAX: u64 = 0o777_7777_7777;

/// Reads the entries of one layer.
pub struct TarReader<R> {
    input: R,
    /// Bytes of the current entry's body that were not read yet.
    body: u64,
    /// Zero bytes between the body and the next header.
    padding: u64,
    /// Rest of the current entry's file.
    rest: Rest,
}

/// The extended headers that precede one entry.
#[derive(Default)]
struct Extended {
    pax: Overrides,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    bytes: u64,
    /// True if one of them describes the next entry. A global header describes all that follow, if there are any.
    pending: bool,
}

impl<R: BufRead> TarReader<R> {
    /// Returns a reader at the start of an uncompressed layer.
    pub fn new(input: R) -> TarReader<R> {
        TarReader { input, body: 0, padding: 0, rest: Rest::default() }
    }

    /// Reads the next entry; returns `None` at the end of the archive. Skips what is left of the previous
    /// entry's body.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut extended = Extended::default();
        loop {
            self.pass_over()?;
            let Some(header) = self.header()? else {
                if extended.pending {
                    return Err(failed("the archive ends after an extended header, before its entry", REBUILD));
                }
                return Ok(None);
            };
            let size = number(&header.as_old().size).ok().and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or_else(|| failed("a tar header's size is negative or not a number", REBUILD))?;
            let kind = header.entry_type();
            let is_extended = matches!(
                kind,
                EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink
            );
            if !is_extended {
                return self.entry(&header, size, extended).map(Some);
            }
            let content = self.extended(size, &mut extended.bytes)?;
            // Of two of a kind before one entry the second counts alone, as Go and so every container engine reads.
            match kind {
                EntryType::XHeader => extended.pax = Overrides::read(&content)?,
                EntryType::GNULongName => extended.long_name = Some(until_nul(content)),
                EntryType::GNULongLink => extended.long_link = Some(until_nul(content)),
                // Go hands on a global header as an entry of its own, which ends what was said before it.
                _ => {
                    extended = Extended { bytes: extended.bytes, ..Extended::default() };
                    continue;
                }
            }
            extended.pending = true;
        }
    }

    /// Returns the input, which stands at the body of the entry that [`TarReader::next_entry`] returned last.
    pub fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// Returns true if the entry that was returned last is a sparse file, whose body in the archive has no holes.
    pub fn is_sparse(&self) -> bool {
        self.rest.has_holes()
    }

    /// Lets `skip` move the input past a body of so many bytes, where that is faster than reading it.
    pub fn skip_by(&mut self, skip: impl FnOnce(&mut R, u64) -> Result<()>) -> Result<()> {
        let length = self.body.saturating_add(self.padding);
        (self.body, self.padding) = (0, 0);
        skip(&mut self.input, length)
    }

    /// Returns a reader of the body of the entry that [`TarReader::next_entry`] returned last.
    pub fn body(&mut self) -> Body<'_, R> {
        Body::new(&mut self.input, &mut self.body, &mut self.rest)
    }

    /// Reads on to the end of the stream, so that all of it has been hashed. Bytes after the end of the
    /// archive mean nothing, but count in the digest.
    pub fn drain(mut self) -> Result<()> {
        loop {
            let length = self.input.fill_buf().map_err(from_io)?.len();
            if length == 0 {
                return Ok(());
            }
            self.input.consume(length);
        }
    }

    /// Reads the next header and verifies its checksum; returns `None` at the end: a block of zeros, or no
    /// block.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut block = [0; BLOCK];
        if self.input.fill_buf().map_err(from_io)?.is_empty() {
            return Ok(None);
        }
        self.read_exact(&mut block, "in a header")?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        // The sum of all bytes, with the eight of the sum itself taken as spaces (tar(5)).
        let sum: u32 = block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
        if header.cksum().ok() != Some(sum) {
            return Err(failed(
                "a tar header's checksum is wrong: this is not a tar archive, or a damaged one",
                "check that the layer's media type names its compression correctly",
            ));
        }
        Ok(Some(header))
    }

    /// Reads the content of an extended header; `before` counts the bytes of those before one entry, up to
    /// [`EXTENDED_MAX`].
    fn extended(&mut self, size: u64, before: &mut u64) -> Result<Vec<u8>> {
        *before = before.saturating_add(size).saturating_add(BLOCK as u64);
        if *before > EXTENDED_MAX {
            return Err(failed(
                format!("the extended headers before one entry have {before} bytes; the limit is 1 MiB"),
                "",
            ));
        }
        self.expect_body(size);
        let mut content = vec![0; usize::try_from(size)?];
        self.read_exact(&mut content, "in an extended header")?;
        self.body = 0;
        Ok(content)
    }

    fn entry(&mut self, header: &Header, ustar_size: u64, extended: Extended) -> Result<Entry> {
        let Extended { pax, long_name, long_link, .. } = extended;
        let is_file = matches!(header.entry_type(), EntryType::Regular | EntryType::Continuous);
        if pax.sparse.any() && !is_file {
            return Err(failed("only a regular file can be sparse", REBUILD));
        }
        let name = pax.sparse.name.clone().or(long_name).or_else(|| pax.path.clone());
        let name = name.unwrap_or_else(|| header_name(header.as_bytes()));
        let path = LayerPath::clean(&name)?;
        let link = long_link.or_else(|| pax.link.clone()).or_else(|| header.link_name_bytes().map(Into::into));
        let size = one_size(ustar_size, pax.size).with_context(|| format!("reading the header of {path}"))?;
        let kind = match header.entry_type() {
            // Before POSIX, a directory was a file with a name that ends in a slash.
            EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => {
                if size > 0 {
                    // Some readers take the body for the headers of more entries.
                    let found = format!("{path} is named as a directory and has a body of {size} bytes");
                    return Err(failed(found, REBUILD));
                }
                Kind::Directory
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let size = self.file(header, size, &pax).with_context(|| format!("reading the header of {path}"))?;
                Kind::File { size }
            }
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink { target: symlink_target(link)? },
            EntryType::Link => Kind::Hardlink { target: LayerPath::clean(&link.unwrap_or_default())? },
            EntryType::Fifo => Kind::Node(Node::Fifo),
            other => device(other, header).with_context(|| format!("reading the header of {path}"))?,
        };
        if path.is_root() && kind != Kind::Directory {
            return Err(failed(format!("name '{}' would replace the root directory", name.escape_ascii()), REBUILD));
        }
        let mut meta = meta(header, &pax).with_context(|| format!("reading the header of {path}"))?;
        let foreign = pax.complete(&mut meta);
        // Only a file has a body, whatever the size field of another type says.
        if !matches!(kind, Kind::File { .. }) {
            self.expect_body(0);
        }
        Ok(Entry { path, meta, kind, foreign })
    }

    /// Expects a file of which the archive has `stored` bytes; returns its size. Reads the map of a sparse file.
    fn file(&mut self, header: &Header, stored: u64, pax: &Overrides) -> Result<u64> {
        let (size, parts) = if header.entry_type() == EntryType::GNUSparse {
            let parts = self.old_map(header.as_bytes())?;
            self.expect_body(stored);
            (positive(&header.as_bytes()[483..495])?, parts)
        } else if pax.sparse.any() {
            self.expect_body(stored);
            let parts = match pax.sparse.parts()? {
                Some(parts) => parts,
                None => self.map_in_body()?,
            };
            (pax.sparse.size.context("a sparse file has no size")?, parts)
        } else {
            self.expect_body(stored);
            (stored, vec![(0, stored)])
        };
        sparse::check(&parts, size, self.body)?;
        self.rest = Rest::of(size, parts);
        Ok(size)
    }

    /// Reads the map of a sparse file of the old form, which goes on in blocks behind the header.
    fn old_map(&mut self, header: &[u8; BLOCK]) -> Result<Vec<Part>> {
        let mut parts = sparse::old_parts(&header[386..482], positive)?;
        let mut goes_on = header[482] != 0;
        let mut bytes = 0;
        while goes_on {
            bytes += BLOCK as u64;
            if bytes > EXTENDED_MAX {
                return Err(failed("the map of a sparse file has more than 1 MiB", REBUILD));
            }
            let mut block = [0; BLOCK];
            self.read_exact(&mut block, "in the map of a sparse file")?;
            parts.extend(sparse::old_parts(&block[..504], positive)?);
            goes_on = block[504] != 0;
        }
        Ok(parts)
    }

    /// Reads the map at the start of a sparse file's body.
    fn map_in_body(&mut self) -> Result<Vec<Part>> {
        let (mut map, mut block) = (BodyMap::default(), [0; BLOCK]);
        loop {
            let left = self.body.checked_sub(BLOCK as u64);
            self.body = left.ok_or_else(|| failed("the map of a sparse file does not end", REBUILD))?;
            self.read_exact(&mut block, "in the map of a sparse file")?;
            if map.take(&block)? {
                return Ok(map.parts());
            }
        }
    }

    fn expect_body(&mut self, size: u64) {
        self.body = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    /// Skips to the end of the current body and its padding.
    fn pass_over(&mut self) -> Result<()> {
        let mut left = self.body.saturating_add(self.padding);
        (self.body, self.padding) = (0, 0);
        while left > 0 {
            let ready = self.input.fill_buf().map_err(from_io)?.len();
            if ready == 0 {
                return Err(failed("the archive ends in the middle of an entry", REBUILD));
            }
            let step = left.min(ready as u64);
            self.input.consume(usize::try_from(step)?);
            left -= step;
        }
        Ok(())
    }

    fn read_exact(&mut self, buffer: &mut [u8], place: &str) -> Result<()> {
        self.input.read_exact(buffer).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => failed(format!("the archive ends {place}"), REBUILD),
            _ => from_io(error),
        })
    }
}

/// Returns an entry's size: PAX overrides ustar. Refuses two different sizes that are both meant, which
/// make two archives in one.
fn one_size(ustar: u64, pax: Option<u64>) -> Result<u64> {
    let Some(pax) = pax else { return Ok(ustar) };
    if ustar == pax || ustar == 0 || pax > USTAR_SIZE_MAX {
        return Ok(pax);
    }
    Err(failed(format!("its size is {ustar} by the ustar header and {pax} by the PAX header"), "rebuild the layer"))
}

fn symlink_target(link: Option<Vec<u8>>) -> Result<Vec<u8>> {
    let target = link.unwrap_or_default();
    if target.is_empty() || target.len() > 4095 || target.contains(&0) {
        return Err(failed(
            format!("Linux does not accept a symbolic link's target of {} bytes", target.len()),
            REBUILD,
        ));
    }
    Ok(target)
}

fn device(kind: EntryType, header: &Header) -> Result<Kind> {
    let numbers = || -> Result<(u32, u32)> {
        let major = header.device_major().ok().flatten().unwrap_or(u32::MAX);
        let minor = header.device_minor().ok().flatten().unwrap_or(u32::MAX);
        // Linux has 12 bits of major and 20 bits of minor number (linux/kdev_t.h).
        if major >= 1 << 12 || minor >= 1 << 20 {
            return Err(failed("its device numbers are out of Linux's range", REBUILD));
        }
        Ok((major, minor))
    };
    match kind {
        EntryType::Char => match numbers()? {
            (0, 0) => Err(failed("it is an overlay whiteout (device 0:0), which is not part of an OCI layer", REBUILD)),
            (major, minor) => Ok(Kind::Node(Node::Character { major, minor })),
        },
        EntryType::Block => numbers().map(|(major, minor)| Kind::Node(Node::Block { major, minor })),
        other => Err(failed(format!("its type '{}' is unknown", other.as_byte().escape_ascii()), REBUILD)),
    }
}

fn meta(header: &Header, pax: &Overrides) -> Result<Meta> {
    let old = header.as_old();
    let field = |name: &str, bytes: &[u8]| number(bytes).with_context(|| format!("its {name} is invalid"));
    let id = |name: &str, over: Option<u64>, bytes: &[u8]| -> Result<u32> {
        let value = over.map_or_else(|| field(name, bytes), |over| Ok(i128::from(over)))?;
        // 2^32 - 1 means "unchanged" to chown(2), so it cannot be an owner.
        u32::try_from(value)
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| failed(format!("its {name} is {value}, which is out of range"), REBUILD))
    };
    let mtime = match pax.mtime {
        Some(mtime) => mtime,
        None => {
            let seconds = i64::try_from(field("time", &old.mtime)?);
            Time { seconds: seconds.map_err(|_| failed("its time is beyond 2^63", REBUILD))?, nanoseconds: 0 }
        }
    };
    Ok(Meta {
        mode: u32::try_from(field("mode", &old.mode)? & 0o7777)?,
        uid: id("owner", pax.uid, &old.uid)?,
        gid: id("group", pax.gid, &old.gid)?,
        mtime,
        xattrs: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a27_two_sizes_that_differ_are_refused() {
        assert_eq!(one_size(5, None).unwrap(), 5);
        assert_eq!(one_size(5, Some(5)).unwrap(), 5);
        assert_eq!(one_size(0, Some(1 << 40)).unwrap(), 1 << 40);
        assert!(one_size(1024, Some(512)).is_err());
    }
}
