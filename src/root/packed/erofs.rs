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
    let printed = is_installed(NAME).then(|| Tool::new(NAME).arg("-V").run().ok()).flatten();
    let Some(printed) = printed else {
        return Err(refused("mkfs.erofs is not installed, which compresses an EROFS", instead));
    };
    let version = version_in(&printed.stdout);
    if !at_least(&version, 1, 7) {
        return Err(refused(format!("mkfs.erofs {version} reads no archive"), instead));
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
    Ok(Program { name: NAME, version, arguments, compression })
}
