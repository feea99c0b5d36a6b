//! PAX extended headers (pax(1), "pax Interchange Format"): records of `LENGTH KEY=VALUE\n`.
//!
//! The `tar` crate splits them at newlines, which a binary value (such as a file capability) may
//! contain; here a record is as long as its length field says.

use crate::error::{Result, failed};
use crate::layer::REBUILD;
use crate::layer::entry::{Meta, Time};
use crate::layer::{acl, sparse};

/// The key prefix under which archives carry extended attributes (star(1), also GNU tar and Go).
const XATTR: &[u8] = b"SCHILY.xattr.";
/// Start of the keys of sparse files.
const SPARSE: &[u8] = b"GNU.sparse.";
/// The longest value of an extended attribute in bytes (`XATTR_SIZE_MAX`, linux/limits.h).
const XATTR_SIZE_MAX: usize = 65536;
/// The longest name of an extended attribute in bytes (`XATTR_NAME_MAX`, linux/limits.h).
const XATTR_NAME_MAX: usize = 255;

/// The records of extended headers that override fields of the next header.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `path`: the entry's name.
    pub path: Option<Vec<u8>>,
    /// `linkpath`: the target of a link.
    pub link: Option<Vec<u8>>,
    /// `size`: the length of the body in bytes.
    pub size: Option<u64>,
    /// `uid`: the numeric owner.
    pub uid: Option<u64>,
    /// `gid`: the numeric group.
    pub gid: Option<u64>,
    /// `mtime`: the modification time.
    pub mtime: Option<Time>,
    /// `SCHILY.xattr.*`: extended attributes, named without that prefix.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// `GNU.sparse.*`: the parts of a sparse file.
    pub sparse: sparse::Records,
    /// Names of attributes that no filesystem of Linux has, such as those of macOS, and of access control lists that
    /// name somebody without a number.
    pub foreign: Vec<Vec<u8>>,
}

/// The kind of system that has an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Namespace {
    Linux,
    Foreign,
}

impl Overrides {
    /// Adds the records of one extended header; a later record replaces an earlier one of the same key.
    pub fn read(mut records: &[u8]) -> Result<Overrides> {
        let mut overrides = Overrides::default();
        while !records.is_empty() {
            let (key, value, rest) = record(records)
                .ok_or_else(|| failed("a PAX header is malformed: a record's length is wrong", REBUILD))?;
            overrides.set(key, value)?;
            records = rest;
        }
        Ok(overrides)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let odd = || failed(format!("PAX record {}={} is invalid", key.escape_ascii(), value.escape_ascii()), REBUILD);
        // An empty value deletes what an earlier record said (pax(1)): the ustar header counts again.
        let text = || (!value.is_empty()).then(|| value.to_vec());
        let number = || -> Result<Option<u64>> {
            let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse().ok();
            text().map(|value| number(&value).ok_or_else(odd)).transpose()
        };
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"mtime" => self.mtime = text().map(|value| time(&value).ok_or_else(odd)).transpose()?,
            key if key.starts_with(SPARSE) => self.sparse.take(&key[SPARSE.len()..], value)?,
            b"SCHILY.acl.access" => self.acl(b"system.posix_acl_access", key, value),
            b"SCHILY.acl.default" => self.acl(b"system.posix_acl_default", key, value),
            key if key.starts_with(XATTR) => {
                let name = &key[XATTR.len()..];
                if check_xattr(name, value)? == Namespace::Foreign {
                    self.foreign.push(name.to_vec());
                    return Ok(());
                }
                self.xattrs.retain(|(known, _)| known != name);
                self.xattrs.push((name.to_vec(), value.to_vec()));
            }
            _ => {} // atime, ctime, uname, comment, charset, vendor records
        }
        Ok(())
    }

    /// Takes an access control list, as the attribute `name`.
    fn acl(&mut self, name: &[u8], key: &[u8], text: &[u8]) {
        self.xattrs.retain(|(known, _)| known != name);
        match acl::attribute(text) {
            Some(value) => self.xattrs.push((name.to_vec(), value)),
            None if text.is_empty() => {}
            None => self.foreign.push(key.to_vec()),
        }
    }

    /// Moves the extended attributes and, if there is one, the time into `meta`; returns the names of those that Linux
    /// does not have.
    pub fn complete(self, meta: &mut Meta) -> Vec<Vec<u8>> {
        meta.xattrs = self.xattrs;
        if let Some(mtime) = self.mtime {
            meta.mtime = mtime;
        }
        self.foreign
    }
}

/// Splits off one record: returns its key, its value and the bytes after it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let line = bytes.get(space + 1..length)?;
    let (newline, line) = line.split_last()?;
    let equals = line.iter().position(|byte| *byte == b'=')?;
    (*newline == b'\n').then_some((&line[..equals], &line[equals + 1..], &bytes[length..]))
}

/// Parses `[-]seconds[.fraction]`.
fn time(value: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanoseconds: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some(Time { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds });
    }
    Some(Time { seconds, nanoseconds })
}

/// Returns the kind of system that has this attribute (xattr(7)). Refuses those of Linux that files of an operating
/// system do not carry: `trusted.overlay.*` would change what the files mean to the overlay filesystem.
fn check_xattr(name: &[u8], value: &[u8]) -> Result<Namespace> {
    let of_linux = [&b"user."[..], b"security.", b"trusted.", b"system."];
    if !name.is_empty() && !of_linux.iter().any(|space| name.starts_with(space)) {
        return Ok(Namespace::Foreign);
    }
    let known = [&b"user."[..], b"security.", b"trusted.", b"system.posix_acl_"];
    let allowed = known.iter().any(|space| name.starts_with(space) && name.len() > space.len())
        && !name.starts_with(b"trusted.overlay.")
        && !name.contains(&0)
        && name.len() <= XATTR_NAME_MAX
        && value.len() <= XATTR_SIZE_MAX;
    if allowed {
        return Ok(Namespace::Linux);
    }
    Err(failed(
        format!("extended attribute '{}' of {} bytes is not allowed in a slot", name.escape_ascii(), value.len()),
        "rebuild the layer without it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_value_may_hold_newlines() {
        let overrides = Overrides::read(b"38 SCHILY.xattr.security.capability=\n\n\n11 path=ab\n");
        assert!(overrides.is_err(), "a length that does not fit is refused");
        let overrides = Overrides::read(b"39 SCHILY.xattr.security.capability=\n\n\n11 path=ab\n").unwrap();
        assert_eq!(overrides.xattrs, [(b"security.capability".to_vec(), b"\n\n".to_vec())]);
        assert_eq!(overrides.path.as_deref(), Some(&b"ab"[..]));
    }

    #[test]
    fn times_keep_nanoseconds_and_may_lie_before_1970() {
        let at = |seconds, nanoseconds| Some(Time { seconds, nanoseconds });
        assert_eq!(time(b"1350244992.023960108"), at(1_350_244_992, 23_960_108));
        assert_eq!(time(b"-1.5"), at(-2, 500_000_000));
        assert_eq!(time(b"-0.25"), at(-1, 750_000_000));
        assert_eq!(time(b"7"), at(7, 0));
        for odd in [&b"x"[..], b"1.-5", b"9223372036854775808", b""] {
            assert_eq!(time(odd), None, "{}", odd.escape_ascii());
        }
    }

    #[test]
    fn a24_only_known_attribute_namespaces_pass() {
        assert!(check_xattr(b"security.selinux", b"x").is_ok());
        assert!(check_xattr(b"user.x", &[0; 65536]).is_ok());
        for name in [&b"trusted.overlay.opaque"[..], b"system.nfs4_acl", b"user.a\0b", b""] {
            assert!(check_xattr(name, b"x").is_err(), "{}", name.escape_ascii());
        }
        assert_eq!(check_xattr(b"com.apple.quarantine", b"x").unwrap(), Namespace::Foreign);
        assert!(check_xattr(&[b"user."[..].to_vec(), vec![b'a'; 256]].concat(), b"").is_err());
        assert!(check_xattr(b"user.x", &[0; 65537]).is_err());
    }

    #[test]
    fn an_empty_value_deletes_the_one_before() {
        let overrides = Overrides::read(b"11 path=ab\n8 path=\n8 size=\n7 uid=\n9 mtime=\n").unwrap();
        assert_eq!(overrides, Overrides::default());
    }

    #[test]
    fn odd_lengths_do_not_panic() {
        for odd in [&b"0 a=b\n"[..], b"99999999999999999999 a=b\n", b"6 a=b", b" a=b\n", b"3 a\n", b"-5 a=b\n", b"6"] {
            assert!(Overrides::read(odd).is_err(), "{}", odd.escape_ascii());
        }
    }
}
