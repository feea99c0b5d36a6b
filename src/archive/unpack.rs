//! Decompresses the formats that the kernel can decompress, one stream at a time: initramfs archives, modules.

use crate::archive::lz4::Lz4;
use crate::error::{Problem, Result, failed, from_io, into_io};
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read};

/// Maximum memory in bytes for decoding an xz or lzma stream. The stream sets the size of the dictionary, up to
/// 4 GiB; `xz -9` uses 64 MiB (xz(1)).
const XZ_MEMORY_MAX: u64 = 256 << 20;
/// Maximum zstd window that the kernel accepts, as a power of two: 128 MiB
/// (`ZSTD_WINDOWSIZE_MAX`, lib/decompress_unzstd.c).
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// A compression method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
    Plain,
    /// gzip (RFC 1952).
    Gzip,
    /// bzip2 (`.bz2`).
    Bzip2,
    /// lzma, the predecessor of xz (`.lzma`).
    Lzma,
    /// xz (`.xz`).
    Xz,
    /// lzop, which is recognised but cannot be read.
    Lzo,
    /// lz4, in the legacy frame format, which is the only one that the kernel reads.
    Lz4,
    /// zstd (RFC 8878).
    Zstd,
}

/// All methods, with the first bytes of a stream (`compressed_formats`, lib/decompress.c; for a plain archive,
/// newc), and the kernel's option for such an initramfs (usr/Kconfig).
const KNOWN: [(Compression, &[u8], Option<&str>); 9] = [
    (Compression::Plain, b"0707", None),
    (Compression::Gzip, &[0x1f, 0x8b], Some("CONFIG_RD_GZIP")),
    // The kernel passes this one to its gzip decoder, too, which rejects it.
    (Compression::Gzip, &[0x1f, 0x9e], Some("CONFIG_RD_GZIP")),
    (Compression::Bzip2, b"BZ", Some("CONFIG_RD_BZIP2")),
    (Compression::Lzma, &[0x5d, 0x00], Some("CONFIG_RD_LZMA")),
    (Compression::Xz, &[0xfd, 0x37], Some("CONFIG_RD_XZ")),
    (Compression::Lzo, &[0x89, 0x4c], Some("CONFIG_RD_LZO")),
    (Compression::Lz4, &[0x02, 0x21], Some("CONFIG_RD_LZ4")),
    (Compression::Zstd, &[0x28, 0xb5], Some("CONFIG_RD_ZSTD")),
];

impl Compression {
    /// Returns the method of an archive by its first bytes, of which 4 are needed; `None` if the kernel does not know
    /// them.
    pub fn of(magic: &[u8]) -> Option<Compression> {
        KNOWN.iter().find(|(_, begin, _)| magic.starts_with(begin)).map(|known| known.0)
    }

    /// Returns the method of a file by its name, as kmod names modules: xz for `ext4.ko.xz`.
    pub fn of_name(path: &str) -> Compression {
        match path.rsplit('.').next() {
            Some("gz") => Compression::Gzip,
            Some("xz") => Compression::Xz,
            Some("zst") => Compression::Zstd,
            _ => Compression::Plain,
        }
    }

    /// Returns the option that a kernel must be built with to unpack such an initramfs; `None` for a plain one, which
    /// every kernel unpacks.
    pub fn config_option(self) -> Option<&'static str> {
        KNOWN.iter().find(|known| known.0 == self).and_then(|known| known.2)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::Plain => "uncompressed",
            Compression::Gzip => "gzip",
            Compression::Bzip2 => "bzip2",
            Compression::Lzma => "lzma",
            Compression::Xz => "xz",
            Compression::Lzo => "lzo",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        })
    }
}

/// Returns a decoder of the single stream that begins at the position of `input`. Read to its end, it leaves
/// `input` just after that stream. A second gzip member or zstd frame is a separate stream, as it is for the
/// kernel. Plain input is passed through to its end. Fails for lzo, which cannot be read.
///
/// The memory that it uses is bounded for any stream; the length of its output is not.
pub fn decoded<'a>(compression: Compression, input: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::Plain => Box::new(input),
        Compression::Gzip => named(compression, GzDecoder::new(input)),
        Compression::Bzip2 => named(compression, bzip2::bufread::BzDecoder::new(input)),
        Compression::Lzma => {
            let stream = liblzma::stream::Stream::new_lzma_decoder(XZ_MEMORY_MAX)?;
            named(compression, XzDecoder::new_stream(input, stream))
        }
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_MAX, 0)?;
            named(compression, XzDecoder::new_stream(input, stream))
        }
        Compression::Lzo => {
            return Err(failed(
                "it is compressed with lzo, which flipslot cannot read",
                "compress it with zstd, xz or gzip",
            ));
        }
        Compression::Lz4 => named(compression, Lz4::new(input)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(input)?.single_frame();
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            named(compression, decoder)
        }
    })
}

fn named<'a>(compression: Compression, decoder: impl Read + 'a) -> Box<dyn Read + 'a> {
    Box::new(Named { compression, decoder })
}

/// A decoder that names the compression method in its errors.
struct Named<R> {
    compression: Compression,
    decoder: R,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|error| explain(self.compression, error))
    }
}

fn explain(compression: Compression, error: io::Error) -> io::Error {
    const NEXT: &str = "make or copy the file again";
    match error.kind() {
        ErrorKind::Interrupted => error,
        ErrorKind::UnexpectedEof => {
            into_io(failed(format!("it is cut short: the {compression} stream does not end"), NEXT))
        }
        // An error of the operating system is not about the stream.
        _ if error.raw_os_error().is_some() => error,
        _ => match from_io(error) {
            known if known.is::<Problem>() => into_io(known),
            other => into_io(failed(format!("the {compression} stream cannot be read: {other}"), NEXT)),
        },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::archive::counted::Stream;
    use crate::tool::Tool;

    /// Returns the output of `command`, a line of sh, for `input`.
    pub(crate) fn through(command: &str, input: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("in"), input).unwrap();
        let script = format!("cd \"$1\" && {{ {command}; }} < in > out");
        Tool::new("sh").args(["-ec", &script, "sh"]).arg(folder.path()).run().unwrap();
        std::fs::read(folder.path().join("out")).unwrap()
    }

    /// All methods that can be read, with the program that compresses with each.
    pub(crate) const PROGRAMS: [(Compression, &str); 6] = [
        (Compression::Gzip, "gzip -n"),
        (Compression::Bzip2, "bzip2"),
        (Compression::Lzma, "xz --format=lzma"),
        (Compression::Xz, "xz --check=crc32"),
        (Compression::Lz4, "lz4 -l -q"),
        (Compression::Zstd, "zstd -q"),
    ];

    fn unpack(compression: Compression, input: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        decoded(compression, input)?.read_to_end(&mut bytes).map_err(from_io)?;
        Ok(bytes)
    }

    fn said(compression: Compression, input: &[u8]) -> String {
        format!("{:#}", unpack(compression, input).unwrap_err())
    }

    /// Makes bytes that can be compressed, but not to almost nothing.
    fn sample() -> Vec<u8> {
        (0..300_000u32).flat_map(|i| (i.wrapping_mul(i) / 7).to_le_bytes()).take(700_000).collect()
    }

    #[test]
    fn each_program_is_known_by_its_first_bytes_and_unpacked_to_its_end_and_no_further() {
        let sample = sample();
        for (compression, program) in PROGRAMS {
            let packed = through(program, &sample);
            assert_eq!(Compression::of(&packed), Some(compression));
            // Only four zeros end an lz4 stream; they are read with it.
            let (after, rest) = if compression == Compression::Lz4 { ("\0\0\0\0next", 4) } else { ("next", 4) };
            let both = [&packed[..], after.as_bytes()].concat();
            let mut input = Stream::new(&both[..], u64::MAX);
            let mut unpacked = Vec::new();
            decoded(compression, &mut input).unwrap().read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == sample, "{compression}");
            assert_eq!(input.peek(99).unwrap(), &both[both.len() - rest..], "{compression}");
        }
    }

    #[test]
    fn a_stream_that_is_cut_or_changed_is_an_error() {
        for (compression, program) in PROGRAMS {
            let packed = through(program, &sample()[..20_000]);
            for cut in [0, 1, 5, 9, packed.len() / 2, packed.len() - 1] {
                let said = said(compression, &packed[..cut]);
                assert!(said.contains("cut short") && said.contains(&compression.to_string()), "{cut}: {said}");
            }
            // lz4's legacy format and lzma have no checksum.
            if ![Compression::Lz4, Compression::Lzma].contains(&compression) {
                let mut packed = packed;
                let middle = packed.len() / 2;
                packed[middle] ^= 0x10;
                assert!(said(compression, &packed).contains(&format!("{compression} stream")), "{compression}");
            }
        }
    }

    #[test]
    fn an_xz_or_lzma_stream_that_asks_for_4_gib_of_memory_is_refused() {
        let mut xz = through("xz", b"x");
        // The block's header is at byte 12: size, flags, filter, length of its properties, and the
        // dictionary's size, of which 40 is 4 GiB - 1; it ends with its CRC32 (xz-file-format.txt).
        let end = 12 + (usize::from(xz[12]) + 1) * 4;
        assert_eq!(xz[14..16], [0x21, 1]);
        xz[16] = 40;
        let mut sum = flate2::Crc::new();
        sum.update(&xz[12..end - 4]);
        xz[end - 4..end].copy_from_slice(&sum.sum().to_le_bytes());
        assert!(said(Compression::Xz, &xz).contains("memory limit"));
        let mut lzma = through("xz --format=lzma", b"x");
        lzma[1..5].copy_from_slice(&[0xff; 4]);
        assert!(said(Compression::Lzma, &lzma).contains("memory limit"));
    }

    #[test]
    fn a_zstd_window_that_the_kernel_does_not_take_is_refused() {
        // With a window of 128 MiB, and of 256 MiB; the size is not known beforehand from a pipe.
        let [takes, refuses] = [27, 28].map(|log| through(&format!("cat | zstd -q --long={log}"), &sample()));
        assert!(unpack(Compression::Zstd, &takes).unwrap() == sample());
        assert!(said(Compression::Zstd, &refuses).contains("zstd stream cannot be read"));
    }

    #[test]
    fn lz4_blocks_that_did_not_get_smaller_and_streams_in_a_row_are_read() {
        let noise: Vec<u8> = through("head -c 9000000 /dev/urandom", b"");
        let packed = through("lz4 -l -q", &noise);
        assert!(packed.len() > noise.len());
        assert!(unpack(Compression::Lz4, &packed).unwrap() == noise);
        let twice = unpack(Compression::Lz4, &[&packed[..], &packed].concat()).unwrap();
        assert!(twice == [&noise[..], &noise].concat());
        assert!(said(Compression::Lz4, &[&packed[..], b"070701"].concat()).contains("something other than zeros"));
        assert!(said(Compression::Lz4, &through("lz4 -q", b"x")).contains("legacy"));
    }

    #[test]
    fn lzo_is_known_and_said_not_to_be_read() {
        assert_eq!(Compression::of(b"\x89LZO\0\r\n\x1a\n"), Some(Compression::Lzo));
        assert!(said(Compression::Lzo, b"").contains("lzo"));
    }

    #[test]
    fn a_modules_name_says_how_it_is_compressed() {
        for (name, compression) in [
            ("lib/x.ko.xz", Compression::Xz),
            ("x.ko.gz", Compression::Gzip),
            ("x.ko.zst", Compression::Zstd),
            ("x.ko", Compression::Plain),
        ] {
            assert_eq!(Compression::of_name(name), compression);
        }
        assert_eq!(unpack(Compression::Plain, b"\x7fELF").unwrap(), b"\x7fELF");
    }

    #[test]
    fn a_plain_archive_needs_no_option_of_the_kernel_and_the_others_do() {
        assert_eq!(Compression::of(b"070701").unwrap().config_option(), None);
        assert_eq!(Compression::of(&[0x28, 0xb5, 0x2f, 0xfd]).unwrap().config_option(), Some("CONFIG_RD_ZSTD"));
        assert_eq!(Compression::of(b"\x7fELF"), None);
    }
}
