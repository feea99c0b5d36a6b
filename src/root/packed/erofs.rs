//! mkfs.erofs, which writes a compressed EROFS from an archive.

use crate::error::{Result, refused};
use crate::root::packed::Compression;
use crate::root::packed::program::{Program, Told, at_least, version_in};
use crate::tool::{Tool, is_installed};
use std::ffi::OsString;
use std::path::Path;
use uuid::Uuid;

const NAME: &str = "mkfs.erofs";

/// Returns mkfs.erofs, if it reads archives. Refuses if it does not, or is not there.
pub fn program(compression: Compression) -> Result<Program> {
    let instead = "install erofs-utils 1.7 or later; or write it uncompressed: --compress none";
    if !is_installed(NAME) {
        return Err(refused("mkfs.erofs is not installed, which compresses an EROFS", instead));
    }
    // Old ones take -V for an error, and name their version all the same.
    let (_, printed) = Tool::new(NAME).arg("-V").run_for(&[0, 1])?;
    let version = version_in(&format!("{} {}", printed.stdout, printed.stderr));
    if !at_least(&version, 1, 7) {
        return Err(refused(format!("mkfs.erofs {version} reads no archive"), instead));
    }
    if compression == Compression::Zstd && !at_least(&version, 1, 8) {
        let found = format!("mkfs.erofs {version} does not compress with zstd");
        return Err(refused(found, "install erofs-utils 1.8 or later; or choose --compress lz4"));
    }
    let compression: &[&str] = match compression {
        // Clusters of 64 KiB: larger ones read more for each page, smaller ones compress worse.
        Compression::Zstd => &["-zzstd,3", "-C65536"],
        _ => &["-zlz4hc,9", "-C65536"],
    };
    let arguments = |program: &Program, told: &Told, out: &Path| {
        let uuid = Uuid::from_bytes(told.identity.uuid);
        let mut arguments: Vec<OsString> = ["--quiet", "--tar=f"].iter().map(OsString::from).collect();
        arguments.extend([format!("-T{}", told.identity.made), format!("-U{uuid}")].map(OsString::from));
        // Times of the files stay their own.
        arguments.push("--preserve-mtime".into());
        arguments.extend(program.compression.iter().map(OsString::from));
        arguments.push(out.into());
        arguments
    };
    Ok(Program { name: NAME, version, arguments, compression, drops_root_attributes: false })
}
