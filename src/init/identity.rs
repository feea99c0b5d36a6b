//! The identity of a machine whose root forgets: its name, and an identifier that is the same at each boot, of the firmware's
//! UUID (hostname(5), machine-id(5)).

use crate::error::Result;
use crate::init::hex::hex_of;
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
/// UUID.
pub fn give(root: &str, host: Option<&str>) -> Result<()> {
    if !fs::symlink_metadata(format!("{root}/etc")).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    if let Some(host) = host {
        put(&format!("{root}/etc/hostname"), 0o644, host)?;
    }
    let place = format!("{root}/etc/machine-id");
    let known = fs::read_to_string(&place).unwrap_or_default();
    match uuid().filter(|_| is_none(&known)) {
        Some(uuid) => put(&place, 0o444, &of(&uuid)),
        None => Ok(()),
    }
}

/// Writes a line into a file; into nothing that is there and is not a file.
fn put(place: &str, mode: u32, line: &str) -> Result<()> {
    if fs::symlink_metadata(place).is_ok_and(|found| !found.is_file()) {
        return Ok(());
    }
    let writing = || format!("writing {place}");
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(mode).custom_flags(NOFOLLOW);
    let mut file = options.open(place).with_context(writing)?;
    file.write_all(format!("{line}\n").as_bytes()).with_context(writing)
}

/// Returns true for a file that systemd, too, takes for one without an identifier.
fn is_none(known: &str) -> bool {
    ["", "uninitialized"].contains(&known.trim())
}

/// Returns the UUID of the machine; firmware that has none gives all zeros or all ones.
fn uuid() -> Option<String> {
    let text = fs::read_to_string(Path::new(UUID)).ok()?.trim().to_ascii_lowercase();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let is_one = digits.len() == 32 && digits.chars().any(|digit| !digits.starts_with(digit));
    is_one.then_some(digits)
}

/// The UUID itself is known to others, and may be a key elsewhere: a hash of it is not.
fn of(uuid: &str) -> String {
    hex_of(&Sha256::digest(format!("flipslot machine-id {uuid}").as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_a_hash_and_always_the_same() {
        let one = of("4c4c4544004b3510804bb4c04f564431");
        assert_eq!(one, of("4c4c4544004b3510804bb4c04f564431"));
        assert_eq!((one.len(), one.contains("4c4c4544")), (32, false));
        assert!(is_none("\n") && is_none("uninitialized\n") && !is_none(&one));
    }
}
