//! The identity of a machine with a live root: its host name, and an identifier derived from the firmware's UUID, the same
//! at each boot (hostname(5), machine-id(5)).

use crate::error::Result;
use crate::words::hex::hex_of;
use anyhow::Context;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The UUID that the firmware gives the machine.
const UUID: &str = "/sys/class/dmi/id/product_uuid";
/// `O_NOFOLLOW` (asm-generic/fcntl.h).
const NOFOLLOW: i32 = 0o400_000;

/// Gives the root the name of its host, if there is one, and an identifier, if its image has none and the machine has a
/// UUID. Returns true if the host has its name.
pub fn write_identity(root: &str, host: Option<&str>) -> Result<bool> {
    if !fs::symlink_metadata(format!("{root}/etc")).is_ok_and(|found| found.is_dir()) {
        return Ok(false);
    }
    let named = match host {
        Some(host) => write_line(&format!("{root}/etc/hostname"), 0o644, host)?,
        None => false,
    };
    let path = format!("{root}/etc/machine-id");
    // Neither a link out of the root nor a FIFO is read.
    let known = match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => fs::read_to_string(&path).unwrap_or_default(),
        Ok(_) => return Ok(named),
        Err(_) => String::new(),
    };
    match uuid().filter(|_| is_unset(&known)) {
        Some(uuid) => write_line(&path, 0o444, &machine_id_of(&uuid, host)).map(|_| named),
        None => Ok(named),
    }
}

/// Writes a line into a file; returns false, and writes nothing, if something else is there.
fn write_line(path: &str, mode: u32, line: &str) -> Result<bool> {
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Ok(false);
    }
    let writing = || format!("writing {path}");
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(mode).custom_flags(NOFOLLOW);
    let mut file = options.open(path).with_context(writing)?;
    file.write_all(format!("{line}\n").as_bytes()).with_context(writing)?;
    Ok(true)
}

/// Returns true for a file that systemd, too, takes for one without an identifier.
fn is_unset(known: &str) -> bool {
    ["", "uninitialized"].contains(&known.trim())
}

/// Returns the UUID of the machine; firmware that has none gives all zeros or all ones.
fn uuid() -> Option<String> {
    let text = fs::read_to_string(Path::new(UUID)).ok()?.trim().to_ascii_lowercase();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let is_one = digits.len() == 32 && digits.chars().any(|digit| !digits.starts_with(digit));
    is_one.then_some(digits)
}

/// Returns the identifier of the machine with this UUID and name. The UUID itself is known to others, and may be a key
/// elsewhere; some boards share one, so that the name counts, too.
fn machine_id_of(uuid: &str, host: Option<&str>) -> String {
    let text = format!("flipslot machine-id {uuid} {}", host.unwrap_or_default());
    hex_of(&Sha256::digest(text.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_a_hash_and_always_the_same() {
        let of = |host| machine_id_of("4c4c4544004b3510804bb4c04f564431", host);
        let one = of(Some("rack1"));
        assert_eq!(one, of(Some("rack1")));
        assert_ne!(one, of(Some("rack2")), "boards of one maker may have one UUID");
        assert_eq!((one.len(), one.contains("4c4c4544")), (32, false));
        assert!(is_unset("\n") && is_unset("uninitialized\n") && !is_unset(&one));
    }
}
