//! Programs that write a squashfs from an archive.

use crate::error::{Result, refused};
use crate::root::packed::Compression;
use crate::root::packed::program::{Program, Told, at_least, version_in};
use crate::tool::{Tool, is_installed};
use std::ffi::OsString;
use std::path::Path;

/// Level of zstd: a quarter of the time of the default, 15, for 5 % more bytes.
const LEVEL: &str = "3";

/// Returns a program that writes a squashfs rightly. Refuses if there is none.
pub fn program(compression: Compression) -> Result<Program> {
    let found = [tar2sqfs, sqfstar].into_iter().find_map(|look| look(compression));
    found.ok_or_else(|| {
        let which = if compression == Compression::None {
            "squashfs-tools 4.6 or later (sqfstar)"
        } else {
            "squashfs-tools-ng (tar2sqfs), or squashfs-tools 4.6 or later (sqfstar)"
        };
        let found = "no program of this machine writes such a squashfs from an archive";
        refused(found, format!("install {which}; or write an EROFS, which needs none: --format erofs --compress none"))
    })
}

/// tar2sqfs of squashfs-tools-ng. It always compresses.
fn tar2sqfs(compression: Compression) -> Option<Program> {
    const NAME: &str = "tar2sqfs";
    let compression: &[&str] = match compression {
        Compression::Zstd => &["-c", "zstd", "-X", "level=3"],
        Compression::Lz4 => &["-c", "lz4", "-X", "hc"],
        Compression::Gzip => &["-c", "gzip"],
        Compression::None => return None,
    };
    let printed = is_installed(NAME).then(|| Tool::new(NAME).arg("--version").run().ok()).flatten()?;
    let arguments = |program: &Program, told: &Told, out: &Path| {
        let mut arguments: Vec<OsString> = ["-q", "-f"].iter().map(OsString::from).collect();
        // It gives the superblock the time of nodes that the archive does not name: there are none.
        arguments.extend(["-d".to_owned(), format!("mtime={}", told.identity.made)].map(OsString::from));
        arguments.extend(program.compression.iter().map(OsString::from));
        arguments.push(out.into());
        arguments
    };
    Some(Program {
        name: NAME,
        version: version_in(&printed.stdout),
        arguments,
        compression,
        drops_root_attributes: false,
    })
}

/// sqfstar of squashfs-tools. Before 4.6 it knows no level, and gives the root directory the time of the run.
fn sqfstar(compression: Compression) -> Option<Program> {
    const NAME: &str = "sqfstar";
    let printed = is_installed(NAME).then(|| Tool::new(NAME).arg("-version").run_for(&[0, 1]).ok()).flatten()?.1;
    let version = version_in(&printed.stdout);
    if !at_least(&version, 4, 6) {
        return None;
    }
    let compression: &[&str] = match compression {
        Compression::Zstd => &["-comp", "zstd", "-Xcompression-level", LEVEL],
        Compression::Lz4 => &["-comp", "lz4", "-Xhc"],
        Compression::Gzip => &["-comp", "gzip"],
        Compression::None => &["-no-compression"],
    };
    let arguments = |program: &Program, told: &Told, out: &Path| {
        let root = &told.root;
        let made = told.identity.made;
        let mut arguments: Vec<OsString> =
            ["-quiet", "-no-progress", "-mkfs-time"].iter().map(OsString::from).collect();
        // It passes over the entry of the root directory.
        let ours = [
            made.to_string(),
            "-root-time".to_owned(),
            root.mtime.seconds.max(0).to_string(),
            "-root-mode".to_owned(),
            format!("{:o}", root.mode & 0o7777),
            "-root-uid".to_owned(),
            root.uid.to_string(),
            "-root-gid".to_owned(),
            root.gid.to_string(),
        ];
        arguments.extend(ours.map(OsString::from));
        arguments.extend(program.compression.iter().map(OsString::from));
        arguments.push(out.into());
        arguments
    };
    Some(Program { name: NAME, version, arguments, compression, drops_root_attributes: true })
}
