//! Names of machines.

/// Returns true for a name of a host: labels of letters, digits and `-` (RFC 1123, 2.1), at most 64 bytes
/// (linux/utsname.h, `__NEW_UTS_LEN`).
pub fn is_host_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain)
}
