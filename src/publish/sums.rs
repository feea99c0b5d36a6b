//! `SHA256SUMS`, as `sha256sum -c` reads it: one line per file. A folder has one list for all its files.

use crate::words::digest::Digest;

/// File name of the list.
pub const NAME: &str = "SHA256SUMS";

/// Returns `old` without the lines of the files in `names`.
pub fn without(old: &[u8], names: &[&str]) -> Vec<u8> {
    let others = old.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let others = others.filter(|line| !names.iter().any(|name| name_in(line) == Some(name.as_bytes())));
    others.flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
}

/// Returns `old` with the lines of `files` replaced or added.
pub fn with(old: &[u8], files: &[(&str, Digest)]) -> Vec<u8> {
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let ours = files.iter().map(|(name, digest)| format!("{}  {name}\n", digest.hex()));
    without(old, &names).into_iter().chain(ours.flat_map(String::into_bytes)).collect()
}

/// Returns the file name of a line: it follows 64 digits, a space, and a space or an asterisk (sha256sum(1)).
fn name_in(line: &[u8]) -> Option<&[u8]> {
    let (hash, rest) = line.split_at_checked(64)?;
    let is_hash = hash.iter().all(u8::is_ascii_hexdigit);
    rest.strip_prefix(b"  ").or(rest.strip_prefix(b" *")).filter(|_| is_hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_lines_are_replaced_and_all_others_stay_as_they_are() {
        let line = |digit: &str, rest: &str| format!("{}{rest}", digit.repeat(64));
        let old = [
            "# a remark".to_owned(),
            line("a", "  d.raw"),
            line("b", " *d.raw.bmap"),
            line("c", "  d.raw.old"),
            line("d", "  sub/d.raw"),
            "no line of ours d.raw".to_owned(),
            line("e", "  last, without an end of line"),
        ];
        let digest = Digest::of(b"abc");
        let new = with(old.join("\n").as_bytes(), &[("d.raw", digest.clone()), ("d.raw.bmap", digest.clone())]);
        let ours = [format!("{}  d.raw", digest.hex()), format!("{}  d.raw.bmap", digest.hex())];
        let kept = [&old[0], &old[3], &old[4], &old[5], &old[6]];
        let expected: Vec<&str> = kept.into_iter().chain(&ours).map(String::as_str).collect();
        assert_eq!(String::from_utf8(new).unwrap().lines().collect::<Vec<_>>(), expected);
        assert_eq!(with(b"", &[]), b"");
        assert_eq!(without(b"\n\n", &["d.raw"]), b"");
    }
}
