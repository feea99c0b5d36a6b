//! POSIX access control lists in PAX records (`SCHILY.acl.*`, star(1)), as the extended attributes in which Linux
//! keeps them.

/// Version of the attribute (linux/posix_acl_xattr.h, POSIX_ACL_XATTR_VERSION).
const VERSION: u32 = 2;
/// ID of an entry that has none (ACL_UNDEFINED_ID).
const NO_ID: u32 = u32::MAX;
/// The most entries of a list: an attribute has at most 64 KiB, with 8 bytes for each.
const ENTRIES_MAX: usize = 8000;

/// Tags of entries (linux/posix_acl.h).
const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// Returns the attribute's value for a list in text form, such as `user::rw-,user:lisa:rw-:1000,other::r--`. `None` if
/// it is malformed, or names somebody without a number: what a name means is up to the image.
pub fn attribute(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let entries = text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty() && !entry.starts_with('#'));
    let mut entries: Vec<(u16, u32, u16)> = entries.take(ENTRIES_MAX + 1).map(entry).collect::<Option<_>>()?;
    if entries.is_empty() || entries.len() > ENTRIES_MAX {
        return None;
    }
    entries.sort_unstable();
    let count = |tag: u16| entries.iter().filter(|(of, ..)| *of == tag).count();
    let needs_mask = count(USER) + count(GROUP) > 0;
    if [OWNER, OWNING_GROUP, OTHER].iter().any(|tag| count(*tag) != 1)
        || count(MASK) > 1
        || (needs_mask && count(MASK) == 0)
    {
        return None; // the kernel refuses it (posix_acl_valid)
    }
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    Some(value)
}

/// Reads an entry: its tag, its ID and its permissions.
fn entry(text: &str) -> Option<(u16, u32, u16)> {
    let mut fields = text.split(':').map(str::trim);
    let (kind, name, permissions) = (fields.next()?, fields.next()?, fields.next()?);
    let mut id = || fields.next().unwrap_or(name).parse().ok().filter(|id| *id != NO_ID);
    let (tag, id) = match (kind, name) {
        ("user" | "u", "") => (OWNER, NO_ID),
        ("user" | "u", _) => (USER, id()?),
        ("group" | "g", "") => (OWNING_GROUP, NO_ID),
        ("group" | "g", _) => (GROUP, id()?),
        ("mask" | "m", "") => (MASK, NO_ID),
        ("other" | "o", "") => (OTHER, NO_ID),
        _ => return None,
    };
    let bit = |c| match c {
        'r' => Some(4),
        'w' => Some(2),
        'x' => Some(1),
        '-' => Some(0),
        _ => None,
    };
    let permissions = permissions.chars().map(bit).try_fold(0, |all, bit| bit.map(|bit| all | bit))?;
    Some((tag, id, permissions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    fn the_kernel_and_getfacl_read_what_was_written_as_text() {
        let text = "user::rw-,user:lisa:rw-:1000,user:7:r--,group::r--,group:9:--x,mask::rwx,other::---";
        let file = tempfile::NamedTempFile::new().unwrap();
        let value = attribute(text.as_bytes()).unwrap();
        rustix::fs::fsetxattr(&file, "system.posix_acl_access", &value, rustix::fs::XattrFlags::empty()).unwrap();
        let read = Command::new("getfacl").args(["-cnpE"]).arg(file.path()).output().unwrap();
        let read = String::from_utf8(read.stdout).unwrap();
        let expected = "user::rw-\nuser:7:r--\nuser:1000:rw-\ngroup::r--\ngroup:9:--x\nmask::rwx\nother::---";
        assert_eq!(read.trim(), expected);
    }

    #[test]
    fn malformed_lists_and_names_without_numbers_are_refused() {
        for odd in [
            "",
            "user",
            "user:lisa:rw-",
            "user::rwz",
            "king::rwx",
            "user:-1:r--",
            "mask:1:rwx",
            "\u{0}",
            "user::rwx",
            "user::r--,user:7:r--,group::r--,other::r--",
        ] {
            assert_eq!(attribute(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(attribute(b"\xff"), None);
        assert_eq!(attribute("user:1:r--,".repeat(9000).as_bytes()), None);
    }
}
