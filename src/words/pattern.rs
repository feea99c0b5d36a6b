//! Patterns of modules.alias, which say what devices a driver is for.

/// Characters that begin something other than a literal in a pattern (fnmatch(3)).
pub const WILDCARDS: [char; 3] = ['*', '?', '['];

/// Returns true if a pattern of modules.alias matches, by the rules of fnmatch(3).
pub fn is_match(pattern: &str, modalias: &str) -> bool {
    // Most patterns differ before their first wildcard, which is quick to check.
    let literal = pattern.find(WILDCARDS).unwrap_or(pattern.len());
    if !modalias.starts_with(&pattern[..literal]) {
        return false;
    }
    // The crate gives `**` a meaning of its own; fnmatch does not.
    let mut single = pattern.to_owned();
    while single.contains("**") {
        single = single.replace("**", "*");
    }
    glob::Pattern::new(&single).is_ok_and(|pattern| pattern.matches(modalias))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_as_fnmatch_does() {
        assert!(is_match("pci:v*d*sv*sd*bc01sc0[68]i*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01"));
        assert!(!is_match("pci:v*d*sv*sd*bc01sc0[68]i*", "pci:v00008086d00002922sv00001AF4sd00001100bc02sc00i00"));
        assert!(is_match("a**b?", "a-x-bc") && is_match("plain", "plain") && !is_match("plain", "plainer"));
    }
}
