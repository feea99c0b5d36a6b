//! The format of a disk file, chosen by the ending of its name.

use crate::error::{Result, usage};
use std::path::Path;

/// Storage format of a disk in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The disk's bytes, unchanged.
    Raw,
    /// QEMU's own format: as large as its contents.
    Qcow2,
    /// VMware's format, in one file that grows (`monolithicSparse`).
    Vmdk,
    /// Hyper-V's format, in one file that grows.
    Vhdx,
    /// Raw, compressed with zstd.
    Zstd,
}

/// File name endings of the formats that flipslot writes.
const MADE: [(&str, Format); 4] =
    [("qcow2", Format::Qcow2), ("vmdk", Format::Vmdk), ("vhdx", Format::Vhdx), ("zst", Format::Zstd)];
/// Endings of formats that flipslot does not write: a raw disk with such a name would be mistaken for one of them.
const NOT_MADE: [&str; 16] =
    ["qcow", "qed", "vdi", "vhd", "vpc", "ova", "ovf", "iso", "gz", "xz", "bz2", "lz4", "lzo", "zip", "zstd", "bmap"];

impl Format {
    /// Returns the format that the ending of `path` names, or raw if it names none. Fails (usage) for a
    /// format that flipslot does not write.
    pub fn of(path: &Path) -> Result<Format> {
        let Some(ending) = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()) else {
            return Ok(Format::Raw);
        };
        if NOT_MADE.contains(&ending.as_str()) {
            return Err(usage(
                format!("cannot write {}: .{ending} is not a supported format", path.display()),
                "end the name with .raw, .qcow2, .vmdk, .vhdx or .raw.zst, and convert it afterwards",
            ));
        }
        Ok(MADE.iter().find(|(made, _)| *made == ending).map_or(Format::Raw, |(_, format)| *format))
    }

    /// Returns the format's name, as used in messages and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
            Format::Vmdk => "vmdk",
            Format::Vhdx => "vhdx",
            Format::Zstd => "raw.zst",
        }
    }

    /// Returns whether `bmaptool` can copy the format; it also reads compressed raw disks.
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
