//! The format of a disk file: its name says it.

use crate::error::{Result, usage};
use std::path::Path;

/// How a disk's bytes are stored in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As they are.
    Raw,
    /// QEMU's own: as large as what is in it.
    Qcow2,
    /// VMware's, in one file that grows (`monolithicSparse`).
    Vmdk,
    /// Hyper-V's, in a file that grows.
    Vhdx,
    /// Raw, compressed with zstd.
    Zstd,
}

/// Endings that say a format which is made.
const MADE: [(&str, Format); 4] =
    [("qcow2", Format::Qcow2), ("vmdk", Format::Vmdk), ("vhdx", Format::Vhdx), ("zst", Format::Zstd)];
/// Endings that say a format which is not: a raw disk with such a name would be taken for it.
const NOT_MADE: [&str; 16] =
    ["qcow", "qed", "vdi", "vhd", "vpc", "ova", "ovf", "iso", "gz", "xz", "bz2", "lz4", "lzo", "zip", "zstd", "bmap"];

impl Format {
    /// The format that the ending of `path` says; raw where it says none.
    pub fn of(path: &Path) -> Result<Format> {
        let Some(ending) = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()) else {
            return Ok(Format::Raw);
        };
        if NOT_MADE.contains(&ending.as_str()) {
            return Err(usage(
                format!("{} shall be a .{ending}, which flipslot does not make", path.display()),
                "end the name with .raw, .qcow2, .vmdk, .vhdx or .raw.zst, and convert it afterwards",
            ));
        }
        Ok(MADE.iter().find(|(made, _)| *made == ending).map_or(Format::Raw, |(_, format)| *format))
    }

    /// Its name, for people and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
            Format::Vmdk => "vmdk",
            Format::Vhdx => "vhdx",
            Format::Zstd => "raw.zst",
        }
    }

    /// Whether `bmaptool` reads it, which also reads compressed raw disks.
    pub fn has_bmap(self) -> bool {
        matches!(self, Format::Raw | Format::Zstd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_the_format_and_none_is_raw() {
        for (name, format) in [
            ("golden.raw", Format::Raw),
            ("golden.img", Format::Raw),
            ("golden", Format::Raw),
            ("golden-1.2", Format::Raw),
            ("/dev/sda", Format::Raw),
            ("out/golden.qcow2", Format::Qcow2),
            ("GOLDEN.QCOW2", Format::Qcow2),
            ("golden.vmdk", Format::Vmdk),
            ("golden.vhdx", Format::Vhdx),
            ("golden.raw.zst", Format::Zstd),
            ("golden.img.zst", Format::Zstd),
        ] {
            assert_eq!(Format::of(Path::new(name)).unwrap(), format, "{name}");
        }
    }

    #[test]
    fn a_name_that_promises_another_format_is_not_taken_for_a_raw_disk() {
        for name in ["golden.vdi", "golden.raw.gz", "golden.VHD", "golden.raw.xz"] {
            let error = Format::of(Path::new(name)).unwrap_err();
            assert_eq!(crate::error::kind(&error), crate::error::Kind::Usage, "{name}");
        }
    }
}
