//! Reads the contents of an initramfs: consecutive archives, each plain or compressed, read as the kernel
//! reads them (init/initramfs.c).

use crate::archive::counted::Stream;
use crate::archive::cpio;
use crate::archive::cpio::{REMAKE, from_root};
use crate::archive::unpack::{Compression, decoded};
use crate::error::{Result, failed, from_io};
use crate::kernel::modules;
use crate::words::units::Bytes;
use anyhow::Context;
use std::collections::BTreeSet;
use std::io::Read;

/// The archives and names in an initramfs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// Archives and compressed streams, in order.
    pub parts: Vec<Part>,
    /// All paths in it, from the root, without a leading `./` or `/`.
    pub names: BTreeSet<String>,
    /// Size in bytes of all archives when unpacked.
    pub unpacked: u64,
}

/// One stream of an initramfs: a plain archive, or a compressed stream, which may contain several archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Compression method.
    pub compression: Compression,
    /// Size in bytes in the file, including the zeros that follow.
    pub stored: u64,
    /// Size in bytes when unpacked.
    pub unpacked: u64,
    /// True if the kernel reads it before it can unpack anything: microcode, ACPI tables
    /// (arch/x86/microcode.rst, admin-guide/acpi/initrd_table_override.rst).
    pub early: bool,
}

/// Limits on the size of an initramfs, which may come from an untrusted image.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Maximum of the stored bytes, and of the unpacked bytes.
    bytes: u64,
    /// Maximum number of streams.
    parts: usize,
    /// Maximum number of names.
    names: usize,
    /// Maximum total length of the names in bytes.
    name_bytes: usize,
}

/// Limits at least ten times as high as a full initramfs needs: one with all modules of a distribution's
/// kernel unpacks to about 500 MB, has 10 000 names of 60 bytes, and two or three parts.
const LIMITS: Limits = Limits { bytes: 8 << 30, parts: 100, names: 200_000, name_bytes: 64 << 20 };

impl Contents {
    /// Reads an initramfs to its end, in one pass, and keeps only the names in it. Fails if the kernel would
    /// not unpack it to its end: if it is empty, is cut short, or contains something other than archives.
    /// Fails, too, if it is larger than 8 GiB, stored or unpacked, or has more than 100 archives, 200,000 names
    /// or 64 MiB of names.
    pub fn read(input: impl Read) -> Result<Contents> {
        Contents::read_within(input, LIMITS)
    }

    fn read_within(input: impl Read, limits: Limits) -> Result<Contents> {
        let mut reading = Reading { contents: Contents::default(), name_bytes: 0, limits };
        let mut input = Stream::new(input, limits.bytes);
        input.pass_zeros().map_err(from_io)?;
        while !input.is_at_end().map_err(from_io)? {
            reading.part(&mut input)?;
        }
        if reading.contents.names.is_empty() {
            return Err(failed(format!("the initramfs has {} bytes, and contains no file", input.at()), REMAKE));
        }
        Ok(reading.contents)
    }

    /// Returns true if the initramfs contains this path.
    pub fn has(&self, path: &str) -> bool {
        self.names.contains(from_root(path))
    }

    /// Returns the modules in it for the kernel `version`, by the names that the kernel gives them: `dm_mod`
    /// for `dm-mod.ko.xz`.
    pub fn modules(&self, version: &str) -> BTreeSet<String> {
        let of = |name: &String| {
            let below = name.strip_prefix("usr/").unwrap_or(name).strip_prefix("lib/modules/")?;
            let (of, path) = below.split_once('/')?;
            modules::name_of(path).filter(|_| of == version)
        };
        self.names.iter().filter_map(of).collect()
    }
}

/// State of reading an initramfs.
struct Reading {
    contents: Contents,
    name_bytes: usize,
    limits: Limits,
}

impl Reading {
    /// Reads the part that begins at the position of `input`, and the zeros that follow.
    fn part(&mut self, input: &mut Stream<impl Read>) -> Result<()> {
        let begin = input.at();
        if self.contents.parts.len() == self.limits.parts {
            let found =
                format!("the initramfs has more than {} archives; the next one is at byte {begin}", self.limits.parts);
            return Err(failed(found, REMAKE));
        }
        let compression = beginning(input)?;
        let (early, unpacked) = match compression {
            Compression::Plain => (self.archive(input)?, None),
            packed => {
                let unpacked = self.stream(packed, input);
                let place =
                    |end| format!("reading the {packed} stream from byte {begin} of the initramfs to byte {end}");
                (false, Some(unpacked.with_context(|| place(input.at()))?))
            }
        };
        input.pass_zeros().map_err(from_io)?;
        if compression == Compression::Plain {
            aligned(input)?;
        }
        let stored = input.at() - begin;
        // The kernel looks for early archives only in front of everything else.
        let early = early && self.contents.parts.iter().all(|part| part.early);
        let part = Part { compression, stored, unpacked: unpacked.unwrap_or(stored), early };
        self.contents.unpacked += part.unpacked;
        self.contents.parts.push(part);
        Ok(())
    }

    /// Reads the compressed stream that begins at the position of `input`. Returns its unpacked size in bytes.
    fn stream(&mut self, compression: Compression, input: &mut Stream<impl Read>) -> Result<u64> {
        let left = self.limits.bytes.saturating_sub(self.contents.unpacked);
        let mut inside = Stream::new(decoded(compression, input)?, left);
        loop {
            self.archive(&mut inside).context("reading its unpacked content")?;
            inside.pass_zeros().map_err(from_io)?;
            if inside.is_at_end().map_err(from_io)? {
                return Ok(inside.at());
            }
            aligned(&mut inside).context("reading its unpacked content")?;
        }
    }

    /// Reads one archive. Returns true if all that it contains is read early by the kernel.
    fn archive(&mut self, input: &mut Stream<impl Read>) -> Result<bool> {
        let (mut early, mut other) = (false, false);
        cpio::walk(input, |entry| {
            early |= is_early(&entry.name);
            other |= !is_early(&entry.name) && !entry.name.is_empty();
            self.add(entry.name)
        })?;
        Ok(early && !other)
    }

    fn add(&mut self, name: String) -> Result<()> {
        let length = name.len();
        if length == 0 || !self.contents.names.insert(name) {
            return Ok(());
        }
        self.name_bytes += length;
        if self.contents.names.len() > self.limits.names || self.name_bytes > self.limits.name_bytes {
            let Limits { names, name_bytes, .. } = self.limits;
            let most = Bytes(name_bytes as u64);
            return Err(failed(
                format!("the initramfs has more than {names} names, or more than {most} of names"),
                "find out what makes it so large, and remove that",
            ));
        }
        Ok(())
    }
}

/// Returns true for paths that the kernel reads before it unpacks, and for the file with which dracut marks
/// such an archive.
fn is_early(name: &str) -> bool {
    name == "early_cpio" || name == "kernel" || name.starts_with("kernel/")
}

/// Returns the compression of the stream that begins here. Fails if the kernel would not read it.
fn beginning(input: &mut Stream<impl Read>) -> Result<Compression> {
    let at = input.at();
    let magic = input.peek(8).map_err(from_io)?;
    let Some(compression) = Compression::of(magic) else {
        let found = format!(
            "the initramfs has data at byte {at} that is not an archive the kernel knows: '{}'",
            magic.escape_ascii()
        );
        return Err(failed(found, REMAKE));
    };
    // The low half of byte 7 is the kind of check of an xz stream: 0 for none, 1 for CRC32
    // (tukaani.org/xz/xz-file-format.txt). The kernel accepts no other (staging/xz.rst).
    if compression == Compression::Xz && magic.get(7).is_some_and(|check| check & 0xf > 1) {
        let found = format!("the xz stream at byte {at} of the initramfs has a checksum that the kernel rejects");
        return Err(failed(found, "compress it with xz --check=crc32"));
    }
    if compression == Compression::Plain {
        aligned(input)?;
    }
    Ok(compression)
}

/// Fails unless `input` is at its end or at a multiple of 4 bytes: only there does the kernel see a plain
/// archive, or anything that follows one.
fn aligned(input: &mut Stream<impl Read>) -> Result<()> {
    if input.at().is_multiple_of(4) || input.is_at_end().map_err(from_io)? {
        return Ok(());
    }
    let found =
        format!("the archive at byte {} does not begin at a multiple of 4: the kernel does not see it", input.at());
    Err(failed(found, "pad the data before it with zeros to a multiple of 4 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::unpack::tests::{PROGRAMS, through};
    use std::io;

    /// Makes an archive of empty files, and the directories above them, with the cpio program.
    fn archive(paths: &[&str]) -> Vec<u8> {
        let make = "while read -r path; do mkdir -p \"root/${path%/*}\" && : > \"root/$path\"; done && cd root";
        let paths: String = paths.iter().map(|path| format!("{path}\n")).collect();
        through(&format!("{make} && find . | LC_ALL=C sort | cpio -o -H newc --quiet"), paths.as_bytes())
    }

    fn early() -> Vec<u8> {
        archive(&["./early_cpio", "kernel/x86/microcode/GenuineIntel.bin"])
    }

    fn main() -> Vec<u8> {
        archive(&["./init", "usr/lib/modules/6.1.0-9/kernel/fs/ext4.ko"])
    }

    fn read(bytes: &[u8]) -> Result<Contents> {
        Contents::read(bytes)
    }

    fn said(bytes: &[u8]) -> String {
        format!("{:#}", read(bytes).unwrap_err())
    }

    /// Concatenates archives, each padded with zeros to a multiple of 512 bytes.
    fn stack(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut all = Vec::new();
        for part in parts {
            all.extend_from_slice(part);
            all.resize((all.len() + 4).next_multiple_of(512), 0);
        }
        all
    }

    #[test]
    fn microcode_in_front_and_a_main_archive_of_each_method_are_read() {
        for (compression, program) in PROGRAMS {
            let packed = through(program, &main());
            let contents = read(&[early(), packed.clone()].concat()).unwrap();
            let [first, second] = contents.parts[..] else { panic!("{:?}", contents.parts) };
            let plain = early().len() as u64;
            assert_eq!(first, Part { compression: Compression::Plain, stored: plain, unpacked: plain, early: true });
            let unpacked = main().len() as u64;
            assert_eq!(second, Part { compression, stored: packed.len() as u64, unpacked, early: false });
            assert_eq!(contents.unpacked, plain + unpacked);
            for path in ["init", "/init", "./init", "kernel/x86/microcode/GenuineIntel.bin", "usr/lib"] {
                assert!(contents.has(path), "{compression}: {path}");
            }
            assert!(!contents.has("") && !contents.has(".") && !contents.has("lib"));
        }
    }

    #[test]
    fn archives_are_stacked_in_any_order_as_the_kernel_takes_them() {
        let more = archive(&["./etc/x"]);
        let [zstd, gzip] = ["zstd -q", "gzip -n"].map(|program| through(program, &main()));
        let methods = |bytes: &[u8]| {
            let contents = read(bytes).unwrap();
            assert!(contents.has("init") && contents.has("etc/x"));
            contents.parts.iter().map(|part| part.compression.to_string()).collect::<Vec<_>>().join(" ")
        };
        let more_zstd = through("zstd -q", &more);
        assert_eq!(methods(&[&gzip[..], &more_zstd].concat()), "gzip zstd", "with nothing between them");
        assert_eq!(methods(&stack(&[zstd.clone(), more.clone()])), "zstd uncompressed");
        assert_eq!(methods(&stack(&[more.clone(), main()])), "uncompressed uncompressed");
        assert_eq!(methods(&stack(&[through("lz4 -l -q", &main()), more_zstd])), "lz4 zstd");
        assert_eq!(methods(&[&[0; 512][..], &zstd, &through("xz --check=none", &more)].concat()), "zstd xz");
        // Two archives in one stream.
        assert_eq!(methods(&through("gzip -n", &[main(), more.clone()].concat())), "gzip");
    }

    #[test]
    fn early_is_only_what_stands_in_front_and_holds_nothing_else() {
        let marks = |parts: &[Vec<u8>]| {
            let contents = read(&stack(parts)).unwrap();
            contents.parts.iter().map(|part| part.early).collect::<Vec<_>>()
        };
        let acpi = archive(&["kernel/firmware/acpi/ssdt.aml"]);
        assert_eq!(marks(&[early(), acpi, main()]), [true, true, false]);
        assert_eq!(marks(&[main(), early()]), [false, false]);
        assert_eq!(marks(&[through("zstd -q", &main()), early()]), [false, false]);
        assert_eq!(marks(&[archive(&["./early_cpio", "./init"])]), [false]);
    }

    #[test]
    fn a_cut_at_any_byte_is_an_error_but_between_two_archives() {
        let main = main();
        let mut stacks = vec![vec![early(), main.clone()]];
        stacks.extend(PROGRAMS.map(|(_, program)| vec![early(), through(program, &main), through("gzip -n", &main)]));
        for parts in stacks {
            let whole = stack(&parts);
            // Ranges in which an archive has ended, and the next has not begun.
            let ends = (1..=parts.len()).map(|count| {
                let begin = stack(&parts[..count - 1]).len();
                let part = &parts[count - 1];
                // The cpio program pads with zeros; the name that ends the archive is padded to 4.
                let zeros = part.iter().rev().take_while(|byte| **byte == 0).count();
                let used =
                    if part.starts_with(b"0707") { (part.len() - zeros + 1).next_multiple_of(4) } else { part.len() };
                (count, begin + used..=stack(&parts[..count]).len())
            });
            let ends: Vec<_> = ends.collect();
            for cut in 0..=whole.len() {
                let count = ends.iter().find(|(_, end)| end.contains(&cut)).map(|(count, _)| *count);
                let found = read(&whole[..cut]).ok().map(|contents| contents.parts.len());
                assert_eq!(found, count, "cut at {cut} of {}, {ends:?}", whole.len());
            }
        }
    }

    #[test]
    fn what_begins_with_something_else_is_an_error_that_says_where() {
        for (compression, program) in PROGRAMS {
            let packed = through(program, &main());
            for at in 0..2 {
                let mut flipped = packed.clone();
                flipped[at] ^= 0x40;
                assert!(said(&flipped).contains("at byte 0 that is not an archive"), "{compression}");
            }
            if compression != Compression::Lz4 {
                let at = packed.len();
                let said = said(&[&packed[..], b"garbage"].concat());
                assert!(
                    said.contains(&format!("at byte {at} that is not an archive the kernel knows: 'garbage'")),
                    "{said}"
                );
            }
        }
        let said = said(&through("gzip -n", b"no cpio"));
        assert!(
            said.contains("gzip stream from byte 0") && said.contains("no cpio header at byte 0, but 'no cpi'"),
            "{said}"
        );
    }

    #[test]
    fn what_the_kernel_does_not_see_or_take_is_an_error() {
        let gzip = through("gzip -n", &main());
        let odd = [&gzip[..], &vec![0; 5 - gzip.len() % 4], &main()].concat();
        assert!(said(&odd).contains("does not begin at a multiple of 4"));
        let odd = [&main()[..], b"\0", &gzip].concat();
        assert!(said(&odd).contains("does not begin at a multiple of 4"));
        let odd = [&main()[..], b"\0", &main()].concat();
        assert!(said(&through("zstd -q", &odd)).contains("does not begin at a multiple of 4"));
        assert!(said(&through("xz", &main())).contains("checksum that the kernel rejects"));
        // An archive that goes on in a second gzip member.
        let (begin, rest) = (&main()[..600], &main()[600..]);
        assert!(said(&[through("gzip -n", begin), through("gzip -n", rest)].concat()).contains("cut short"));
        assert!(said(&through("cpio -o -H odc --quiet", b"in\n")).contains("but '070707'"));
        assert!(said(b"\x89LZO\0\r\n\x1a\n").contains("lzo"));
    }

    #[test]
    fn nothing_is_an_error() {
        assert!(said(b"").contains("0 bytes"));
        assert!(said(&[0; 5000]).contains("5000 bytes, and contains no file"));
        assert!(said(&through("gzip -n", b"")).contains("cut short"));
        assert!(said(&through("cpio -o -H newc --quiet", b"")).contains("no file"));
    }

    #[test]
    fn modules_are_found_by_kernel_and_by_the_name_that_the_kernel_gives_them() {
        let contents = read(&archive(&[
            "usr/lib/modules/6.1.0-9/kernel/drivers/md/dm-mod.ko.xz",
            "usr/lib/modules/6.1.0-9/kernel/fs/ext4/ext4.ko",
            "lib/modules/6.1.0-9/extra/a.ko.zst",
            "lib/modules/6.6/b.ko.gz",
            "lib/modules/6.7/modules.dep",
            "lib/modules/6.8/c.ko.txt",
            "lib/modules/6.8/.ko",
            "lib/modules/d.ko",
            "opt/lib/modules/6.9/e.ko",
        ]))
        .unwrap();
        let list = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(list(contents.modules("6.1.0-9")), "a dm_mod ext4");
        assert_eq!(list(contents.modules("6.1.0")), "");
    }

    #[test]
    fn a_bomb_is_an_error_at_the_limit() {
        let limits = Limits { bytes: 1 << 20, ..LIMITS };
        let within = |bytes: &[u8]| Contents::read_within(bytes, limits).map_err(|error| format!("{error:#}"));
        let mut bomb = main();
        bomb[54..62].copy_from_slice(b"ffffffff");
        bomb.resize(10 << 20, 0);
        // Zeros in a file and after an archive, both compressed and stored.
        for bytes in [&bomb, &[main(), vec![0; 10 << 20]].concat()] {
            let packed = through("gzip -n", bytes);
            assert!(packed.len() < 1 << 20);
            assert!(within(&packed).unwrap_err().contains("longer than 1MiB"));
            assert!(within(bytes).unwrap_err().contains("longer than 1MiB"));
        }
        assert!(Contents::read(io::repeat(0).take(9 << 20)).is_err());
        // The limit is one for all parts together.
        let part = through("gzip -n", &[main(), vec![0; 600 << 10]].concat());
        within(&part).unwrap();
        assert!(within(&[&part[..], &part].concat()).unwrap_err().contains("longer than"));
    }

    #[test]
    fn names_and_archives_without_end_are_errors() {
        let archive = archive(&["./a", "./b", "./c"]);
        let within = |limits| Contents::read_within(&archive[..], limits).map_err(|error| format!("{error:#}"));
        assert_eq!(within(Limits { names: 3, name_bytes: 3, ..LIMITS }).unwrap().names.len(), 3);
        assert!(within(Limits { names: 2, ..LIMITS }).unwrap_err().contains("more than 2 names"));
        assert!(within(Limits { name_bytes: 2, ..LIMITS }).unwrap_err().contains("more than 2B"));
        let gzip = through("gzip -n", &archive);
        let many = Contents::read(&gzip.repeat(101)[..]).unwrap_err().to_string();
        assert!(many.contains("more than 100 archives"));
        Contents::read(&gzip.repeat(100)[..]).unwrap();
    }
}
