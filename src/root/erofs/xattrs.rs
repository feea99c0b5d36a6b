//! Extended attributes behind an inode (erofs_fs.h, struct erofs_xattr_ibody_header and erofs_xattr_entry).

use crate::error::{Result, failed};

/// Size in bytes of the header before the attributes.
const HEADER: usize = 12;
/// Starts of names, each stored as a number (erofs_fs.h, EROFS_XATTR_INDEX_*).
const PREFIXES: [(&[u8], u8); 5] = [
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
];

/// Hint for attributes that cannot be written.
const REMOVE: &str = "remove them in the image: setfattr -x";

/// Returns the size in bytes of these attributes behind an inode; 0 for none.
pub fn size_of(xattrs: &[(Vec<u8>, Vec<u8>)]) -> u64 {
    let entries =
        xattrs.iter().map(|(name, value)| entry_size(suffix(name).map_or(name.as_slice(), |found| found.0), value));
    let entries: usize = entries.sum();
    if xattrs.is_empty() { 0 } else { (HEADER + entries) as u64 }
}

/// Encodes attributes; nothing for none.
pub fn encode(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<u8>> {
    if xattrs.is_empty() {
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; HEADER];
    for (name, value) in xattrs {
        let (name, index) = suffix(name).ok_or_else(|| {
            let found = format!("the attribute {} has no form in EROFS", name.escape_ascii());
            failed(found, REMOVE)
        })?;
        let (Ok(length), Ok(value_length)) = (u8::try_from(name.len()), u16::try_from(value.len())) else {
            let found =
                format!("the attribute {} has {} bytes, more than EROFS takes", name.escape_ascii(), value.len());
            return Err(failed(found, REMOVE));
        };
        bytes.extend([length, index]);
        bytes.extend(value_length.to_le_bytes());
        bytes.extend(name);
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    Ok(bytes)
}

/// Returns i_xattr_icount, which counts in units of four bytes after the header.
pub fn count_of(size: u64) -> Result<u16> {
    let units = if size == 0 { 0 } else { (size - HEADER as u64) / 4 + 1 };
    u16::try_from(units)
        .map_err(|_| failed(format!("a file has {size} bytes of attributes, more than EROFS takes"), REMOVE))
}

fn entry_size(name: &[u8], value: &[u8]) -> usize {
    (4 + name.len() + value.len()).next_multiple_of(4)
}

/// Splits a name into what is stored of it, and the number of its start.
fn suffix(name: &[u8]) -> Option<(&[u8], u8)> {
    PREFIXES.iter().find_map(|(prefix, index)| Some((name.strip_prefix(*prefix)?, *index)))
}
