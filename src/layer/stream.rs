//! Streams the bytes of a layer: fetched and hashed on one thread, decompressed and hashed on a second,
//! read by a third. Only a few chunks wait between them, so memory stays bounded.

use crate::error::{Result, failed, from_io, into_io};
use crate::words::digest::Digest;
use crate::words::units::Bytes;
use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, bounded};
use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Read};
use std::thread;

/// The size of a chunk in bytes.
const CHUNK: usize = 256 * 1024;
/// The most chunks that wait between two threads.
const WAITING: usize = 12;
/// The largest window that a zstd layer may ask for, as a power of two: 128 MiB, which `zstd --long`
/// makes and `zstd -d` accepts (zstd(1)). Bounds the memory that a layer can make us use.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// A piece of the stream. An empty one marks the end, sent when everything before it has been verified; a
/// thread that stops without sending one has failed.
type Chunk = Result<Vec<u8>>;

/// The compression of a layer: named by its media type; guessed from its bytes only for an archive that
/// has no media types (docker-archive).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// An uncompressed tar archive.
    Plain,
    /// gzip, in one member or several.
    Gzip,
    /// zstd, in one frame or several.
    Zstd,
}

/// A blob as its manifest describes it.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Digest of the bytes as they are stored.
    pub digest: Digest,
    /// Number of these bytes.
    pub size: u64,
}

/// The digests, size and compression that a layer must have.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The blob. `None` for an archive that names only the uncompressed digest (docker-archive).
    pub blob: Option<Blob>,
    /// Digest of the uncompressed tar archive.
    pub diff_id: Digest,
    /// Compression of the blob.
    pub compression: Compression,
}

/// A layer that is being downloaded.
pub struct Fetching {
    chunks: Receiver<Chunk>,
    expected: Expected,
}

/// Starts reading a layer's blob on a thread of its own, and checks size and digest as it arrives.
/// `open` runs on that thread; `count` is called with the number of bytes of each chunk.
pub fn fetch(
    expected: Expected,
    open: impl FnOnce() -> Result<Box<dyn Read>> + Send + 'static,
    count: impl Fn(u64) + Send + 'static,
) -> Fetching {
    let (sender, chunks) = bounded(WAITING);
    let blob = expected.blob.clone();
    thread::spawn(move || {
        let error = open().and_then(|source| pump_blob(source, blob, &sender, count)).err();
        error.map(|error| sender.send(Err(error)))
    });
    Fetching { chunks, expected }
}

impl Fetching {
    /// Hands over the blob as it arrives; returns when its last byte was verified.
    pub fn pass_to(self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
        let mut blob = ChunkReader::new(self.chunks);
        loop {
            let ready = blob.fill_buf().map_err(from_io)?;
            if ready.is_empty() {
                return Ok(());
            }
            take(ready)?;
            let length = ready.len();
            blob.consume(length);
        }
    }

    /// Returns the uncompressed layer, of at most `longest` bytes. Reading it to its end verifies it: the
    /// last read fails if digest, size or `diff_id` do not match.
    pub fn decompress(self, longest: u64) -> impl BufRead {
        let (sender, chunks) = bounded(WAITING);
        thread::spawn(move || {
            let Fetching { chunks, expected } = self;
            let error = pump_layer(ChunkReader::new(chunks), &expected, longest, &sender).err();
            error.map(|error| sender.send(Err(error)))
        });
        ChunkReader::new(chunks)
    }
}

/// Sends all of a blob, and fails if its size or digest is not that of the manifest.
fn pump_blob(
    mut source: Box<dyn Read>,
    expected: Option<Blob>,
    out: &Sender<Chunk>,
    count: impl Fn(u64),
) -> Result<()> {
    let mut hasher = expected.as_ref().map(|blob| blob.digest.hasher());
    let mut total = 0u64;
    loop {
        let chunk = next_chunk(&mut source)?;
        if chunk.is_empty() {
            break;
        }
        total += chunk.len() as u64;
        count(chunk.len() as u64);
        if let Some(Blob { size, .. }) = expected.as_ref().filter(|blob| total > blob.size) {
            return Err(failed(format!("the blob is longer than the {size} bytes that its manifest gives"), RETRY));
        }
        if let Some(hasher) = &mut hasher {
            hasher.update(&chunk);
        }
        if out.send(Ok(chunk)).is_err() {
            return Ok(()); // the reader gave up, and reports why
        }
    }
    let Some((Blob { digest, size }, hasher)) = expected.zip(hasher) else { return end(out) };
    if total != size {
        return Err(failed(format!("the blob ends after {total} bytes; its manifest gives {size}"), RETRY));
    }
    let found = hasher.finish();
    if found != digest {
        return Err(failed(format!("the blob's digest is {found}; its manifest names {digest}"), RETRY));
    }
    end(out)
}

/// Marks the stream as complete. A reader that has given up by then does not need to know.
fn end(out: &Sender<Chunk>) -> Result<()> {
    let _ = out.send(Ok(Vec::new()));
    Ok(())
}

/// The hint for bytes that do not match their digest or size.
const RETRY: &str =
    "run the command again; if it still fails, the image is damaged where it is stored: push or copy it again";

/// Sends all of the uncompressed layer, and fails if its `diff_id` does not match or it is longer than
/// `longest` bytes.
fn pump_layer(input: ChunkReader, expected: &Expected, longest: u64, out: &Sender<Chunk>) -> Result<()> {
    let mut layer = decoder(input, expected.compression)?;
    let mut hasher = expected.diff_id.hasher();
    let mut total = 0u64;
    loop {
        let chunk = next_chunk(&mut layer).with_context(|| format!("decompressing as {:?}", expected.compression))?;
        if chunk.is_empty() {
            break;
        }
        total += chunk.len() as u64;
        if total > longest {
            let found = format!("the layer is longer than {}, more than the slot can hold", Bytes(longest));
            return Err(failed(found, "give the slot a larger size: --slot-size"));
        }
        hasher.update(&chunk);
        if out.send(Ok(chunk)).is_err() {
            return Ok(());
        }
    }
    let found = hasher.finish();
    if found != expected.diff_id {
        let diff_id = &expected.diff_id;
        return Err(failed(format!("the layer's diff_id is {found}; the image's config names {diff_id}"), RETRY));
    }
    end(out)
}

fn decoder(input: ChunkReader, compression: Compression) -> Result<Box<dyn Read>> {
    Ok(match compression {
        Compression::Plain => Box::new(input),
        Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}

/// Reads the next chunk, which is full unless it is the last, and empty at the end.
fn next_chunk(source: &mut dyn Read) -> Result<Vec<u8>> {
    let mut chunk = vec![0; CHUNK];
    let mut filled = 0;
    while filled < CHUNK {
        match source.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(from_io(error)),
        }
    }
    chunk.truncate(filled);
    Ok(chunk)
}

/// Reads the chunks of another thread; the read that meets that thread's error returns it.
struct ChunkReader {
    chunks: Receiver<Chunk>,
    current: Vec<u8>,
    at: usize,
    ended: bool,
}

impl ChunkReader {
    fn new(chunks: Receiver<Chunk>) -> ChunkReader {
        ChunkReader { chunks, current: Vec::new(), at: 0, ended: false }
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let length = ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&ready[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for ChunkReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.current.len() && !self.ended {
            self.at = 0;
            self.current.clear();
            match self.chunks.recv() {
                Ok(Ok(chunk)) => self.current = chunk,
                Ok(Err(error)) => return Err(into_io(error)),
                Err(_) => return Err(into_io(failed("the thread that reads the layer stopped early", RETRY))),
            }
            self.ended = self.current.is_empty();
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, length: usize) {
        self.at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Reads `blob` as a layer that should hold `plain`.
    fn read(blob: Vec<u8>, plain: &[u8], compression: Compression) -> Result<Vec<u8>> {
        let stored = Blob { digest: Digest::of(&blob), size: blob.len() as u64 };
        read_expecting(Expected { blob: Some(stored), diff_id: Digest::of(plain), compression }, blob)
    }

    fn read_expecting(expected: Expected, blob: Vec<u8>) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut layer = fetch(expected, move || Ok(Box::new(Cursor::new(blob))), |_| {}).decompress(1 << 24);
        layer.read_to_end(&mut out).map_err(from_io).map(|_| out)
    }

    #[test]
    fn every_compression_gives_back_the_layer() {
        let plain = b"layer ".repeat(200_000);
        let zstd = zstd::encode_all(&plain[..], 3).unwrap();
        assert_eq!(read(plain.clone(), &plain, Compression::Plain).unwrap(), plain);
        assert_eq!(read(gzip(&plain), &plain, Compression::Gzip).unwrap(), plain);
        assert_eq!(read(zstd, &plain, Compression::Zstd).unwrap(), plain);
        assert_eq!(read(Vec::new(), b"", Compression::Plain).unwrap(), b"");
    }

    #[test]
    fn b1_b2_a_blob_of_another_digest_or_size_is_refused() {
        let right = Expected {
            blob: Some(Blob { digest: Digest::of(b"abcd"), size: 4 }),
            diff_id: Digest::of(b"abcd"),
            compression: Compression::Plain,
        };
        assert!(read_expecting(right.clone(), b"abcd".to_vec()).is_ok());
        for wrong in [&b"abce"[..], b"abcde", b"abc", b""] {
            assert!(read_expecting(right.clone(), wrong.to_vec()).is_err(), "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn b3_a_wrong_diff_id_is_refused() {
        let text = format!("{:#}", read(gzip(b"abcd"), b"abce", Compression::Gzip).unwrap_err());
        assert!(text.contains("diff_id"), "{text}");
    }

    #[test]
    fn b4_gzip_must_be_whole_and_several_members_are_one_layer() {
        let (one, two) = (gzip(b"one"), gzip(b"two"));
        assert_eq!(read([one.clone(), two].concat(), b"onetwo", Compression::Gzip).unwrap(), b"onetwo");
        assert!(read(one[..one.len() - 1].to_vec(), b"one", Compression::Gzip).is_err(), "cut short");
        assert!(read([&one[..], b"garbage"].concat(), b"one", Compression::Gzip).is_err(), "trailing bytes");
        for offset in [8, 4] {
            let mut broken = one.clone();
            let place = broken.len() - offset;
            broken[place] ^= 1; // CRC32, then ISIZE (RFC 1952, 2.3.1)
            assert!(read(broken, b"one", Compression::Gzip).is_err());
        }
    }

    #[test]
    fn b5_a_bomb_stops_at_what_the_slot_can_hold() {
        let zeros = vec![0; 1 << 26];
        for (blob, compression) in
            [(gzip(&zeros), Compression::Gzip), (zstd::encode_all(&zeros[..], 3).unwrap(), Compression::Zstd)]
        {
            let text = format!("{:#}", read(blob, &zeros, compression).unwrap_err());
            assert!(text.contains("more than the slot can hold"), "{text}");
        }
    }

    #[test]
    fn b5_a_zstd_window_of_more_than_128_mib_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(b"small").unwrap();
        let blob = encoder.finish().unwrap();
        assert!(read(blob, b"small", Compression::Zstd).is_err());
    }

    #[test]
    fn b6_the_media_type_decides_and_other_bytes_are_refused() {
        assert!(read(b"plain".to_vec(), b"plain", Compression::Gzip).is_err());
        assert!(read(gzip(b"x"), b"x", Compression::Zstd).is_err());
        let skippable =
            [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd::encode_all(&b"x"[..], 1).unwrap()].concat();
        assert_eq!(read(skippable, b"x", Compression::Zstd).unwrap(), b"x");
    }
}
