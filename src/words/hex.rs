//! Bytes as text.

/// Returns bytes in lower-case hexadecimal.
pub fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
