//! Metadata of a node in memory, in few bytes: an image has hundreds of thousands of nodes, and most of them an
//! attribute or none.

use crate::layer::entry::{Meta, Time};
use crate::root::metadata::SELINUX;

/// Metadata of one node, with its attributes in one allocation.
pub struct PackedMeta {
    seconds: i64,
    nanoseconds: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    /// Names and values in turn, each after its length; sorted by name. Empty if there are none.
    xattrs: Box<[u8]>,
}

/// Bytes of the length before a name or value.
const LENGTH: usize = size_of::<usize>();

impl PackedMeta {
    /// Packs metadata, and sorts its attributes by name.
    pub fn of(meta: &Meta) -> PackedMeta {
        let mut sorted: Vec<_> = meta.xattrs.iter().collect();
        sorted.sort_unstable();
        let texts = || sorted.iter().flat_map(|(name, value)| [name, value]);
        let mut xattrs = Vec::with_capacity(texts().map(|text| LENGTH + text.len()).sum());
        for text in texts() {
            xattrs.extend_from_slice(&text.len().to_le_bytes());
            xattrs.extend_from_slice(text);
        }
        let Meta { mode, uid, gid, mtime: Time { seconds, nanoseconds }, .. } = *meta;
        PackedMeta { seconds, nanoseconds, mode, uid, gid, xattrs: xattrs.into() }
    }

    /// Returns the metadata, attributes sorted by name.
    pub fn unpack(&self) -> Meta {
        let PackedMeta { seconds, nanoseconds, mode, uid, gid, .. } = *self;
        let xattrs = self.xattrs().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        Meta { mode, uid, gid, mtime: Time { seconds, nanoseconds }, xattrs }
    }

    /// Returns the permission bits with setuid, setgid and sticky: 0 to 0o7777.
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// Returns whether there is an SELinux label.
    pub fn is_labelled(&self) -> bool {
        self.xattrs().any(|(name, _)| name == SELINUX.to_bytes())
    }

    /// Returns the number of bytes that the attributes take.
    pub fn attribute_bytes(&self) -> u64 {
        self.xattrs.len() as u64
    }

    fn xattrs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut left = &self.xattrs[..];
        std::iter::from_fn(move || Some((split_text(&mut left)?, split_text(&mut left)?)))
    }
}

/// Splits one text off the packed ones; `None` at their end.
fn split_text<'p>(packed: &mut &'p [u8]) -> Option<&'p [u8]> {
    let (length, rest) = packed.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(usize::from_le_bytes(*length))?;
    *packed = rest;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_comes_back_with_its_attributes_sorted() {
        let xattr = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
        let xattrs = vec![xattr("user.b", b""), xattr("security.selinux", b"a\0\n"), xattr("user.a", &[7; 300])];
        let mtime = Time { seconds: -5, nanoseconds: 999_999_999 };
        let meta = Meta { mode: 0o4755, uid: 1, gid: u32::MAX - 1, mtime, xattrs };
        let packed = PackedMeta::of(&meta);
        let mut sorted = meta.clone();
        sorted.xattrs.sort();
        assert_eq!(packed.unpack(), sorted);
        assert!(packed.is_labelled());
        assert_eq!(PackedMeta::of(&Meta::default()).unpack(), Meta::default());
    }
}
