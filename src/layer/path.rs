//! Paths in a layer, cleaned so that they cannot lead out of the slot.

use crate::error::{Result, failed};
use crate::layer::REBUILD;
use std::fmt;

/// The longest path that Linux accepts, in bytes without the final NUL (`PATH_MAX` - 1,
/// linux/limits.h).
pub(crate) const PATH_MAX: usize = 4095;
/// The longest name of one component, in bytes (`NAME_MAX`, linux/limits.h).
pub(crate) const NAME_MAX: usize = 255;

/// A path relative to the slot's root: components joined by `/`, none of them empty, `.` or `..`,
/// none of them with a NUL. The root itself is empty. Bytes, not text: names need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerPath(Vec<u8>);

impl LayerPath {
    /// Returns the slot's root, the empty path.
    pub fn root() -> LayerPath {
        LayerPath(Vec::new())
    }

    /// Cleans a name as written in an archive: `/`, `./` and `..` in the middle are resolved as
    /// if the slot's root were `/`, so `../../etc/x` is the slot's own `etc/x`.
    ///
    /// Fails for a name that is empty, ends in `..`, contains a NUL, or is too long for Linux.
    pub fn clean(raw: &[u8]) -> Result<LayerPath> {
        let odd = |why: &str| failed(format!("name '{}' {why}", raw.escape_ascii()), REBUILD);
        if raw.is_empty() {
            return Err(odd("is empty"));
        }
        if raw.contains(&0) {
            return Err(odd("holds a NUL byte"));
        }
        if raw.len() > 4 * PATH_MAX {
            return Err(failed(format!("a name of {} bytes is longer than Linux accepts", raw.len()), REBUILD));
        }
        let components = || raw.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
        if components().next_back() == Some(b"..") {
            return Err(odd("names a parent directory"));
        }
        let mut clean: Vec<&[u8]> = Vec::new();
        for part in components() {
            if part == b".." {
                clean.pop();
            } else if part.len() > NAME_MAX {
                return Err(odd("has a component of more than 255 bytes"));
            } else {
                clean.push(part);
            }
        }
        let path = clean.join(&b'/');
        if path.len() > PATH_MAX {
            return Err(odd("is longer than 4095 bytes"));
        }
        Ok(LayerPath(path))
    }

    /// Returns the bytes, with no leading `/`; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns true for the slot's root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Splits the path into its directory and the name in it; returns `None` for the root.
    pub fn split(&self) -> Option<(LayerPath, &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (LayerPath(self.0[..slash].to_vec()), &self.0[slash + 1..]),
            None => (LayerPath::root(), &self.0),
        })
    }

    /// Returns this path with one more component, which must not contain `/` nor be `.` or `..`.
    pub fn join(&self, name: &[u8]) -> LayerPath {
        let mut path = self.0.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        LayerPath(path)
    }
}

/// Prints the path as `/etc/passwd`, with control bytes and non-ASCII bytes escaped.
impl fmt::Display for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(raw: &[u8]) -> String {
        LayerPath::clean(raw).map_or_else(|error| format!("{error:#}"), |path| path.to_string())
    }

    #[test]
    fn a1_a2_parents_and_absolute_names_stay_inside_the_slot() {
        assert_eq!(clean(b"../../etc/shadow"), "/etc/shadow");
        assert_eq!(clean(b"/./.././../x"), "/x");
        assert_eq!(clean(b"/etc/x"), "/etc/x");
        assert_eq!(clean(b"a/../b//./c/"), "/b/c");
    }

    #[test]
    fn a3_names_of_the_root_and_of_parents() {
        for root in [&b"."[..], b"./", b"/", b"/./"] {
            assert!(LayerPath::clean(root).unwrap().is_root());
        }
        for odd in [&b""[..], b"..", b"../", b"a/..", b"a/../."] {
            assert!(LayerPath::clean(odd).is_err(), "{}", odd.escape_ascii());
        }
    }

    #[test]
    fn a25_long_and_odd_names() {
        assert!(LayerPath::clean(&[b'a'; 255]).is_ok());
        assert!(LayerPath::clean(&[b'a'; 256]).is_err());
        assert!(LayerPath::clean(&b"a/".repeat(3000)).is_err());
        assert!(LayerPath::clean(&b"a/".repeat(100_000)).is_err());
        assert!(LayerPath::clean(b"a\0b").is_err());
        assert_eq!(clean(b"new\nline\xff"), "/new\\nline\\xff");
    }
}
