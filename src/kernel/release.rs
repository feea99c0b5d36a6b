//! Reads the name and family of an image's system from os-release(5).

use crate::error::Result;
use crate::root::tree::Tree;
use std::collections::BTreeMap;

/// Maximum size in bytes of an os-release file.
const LIMIT: u64 = 64 * 1024;

/// The fields of os-release that are used here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Release {
    /// Name for people (`PRETTY_NAME`).
    pub pretty_name: Option<String>,
    /// Families that the system belongs to, nearest first (`ID`, then `ID_LIKE`).
    pub families: Vec<String>,
}

impl Release {
    /// Reads the slot's `/etc/os-release`, or `/usr/lib/os-release`; empty if it has neither.
    pub fn of(root: &dyn Tree) -> Result<Release> {
        let text = match root.read("etc/os-release", LIMIT)? {
            Some(text) => Some(text),
            None => root.read("usr/lib/os-release", LIMIT)?,
        };
        Ok(text.as_deref().map(parse).unwrap_or_default())
    }

    /// Returns the name to show in a menu; "Linux" if there is none.
    pub fn title(&self) -> &str {
        self.pretty_name.as_deref().unwrap_or("Linux")
    }
}

/// Reads `KEY=value` lines; values may be quoted as in a shell.
pub fn parse(text: &str) -> Release {
    let fields: BTreeMap<&str, String> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.trim().split_once('='))
        .map(|(key, value)| (key, unquote(value)))
        .collect();
    let words = |key: &str| fields.get(key).map(|value| value.split_whitespace().map(ToOwned::to_owned).collect());
    let plain = |text: &String| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let families = [words("ID"), words("ID_LIKE")].into_iter().flatten().flat_map(|all: Vec<String>| all).collect();
    Release { pretty_name: fields.get("PRETTY_NAME").filter(|name| !name.is_empty()).map(plain), families }
}

fn unquote(value: &str) -> String {
    let (inner, double) = match value.as_bytes() {
        [b'"', .., b'"'] => (&value[1..value.len() - 1], true),
        [b'\'', .., b'\''] => (&value[1..value.len() - 1], false),
        _ => (value, true),
    };
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        text.push(if c == '\\' && double { chars.next().unwrap_or('\\') } else { c });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_distributions_write() {
        let debian = parse("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n");
        assert_eq!(debian.title(), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(debian.families, ["debian"]);
        let rocky = parse("# comment\nID='rocky'\nID_LIKE=\"rhel centos fedora\"\nPRETTY_NAME=\"a \\\"b\\\" \\$c\"\n");
        assert_eq!(rocky.families, ["rocky", "rhel", "centos", "fedora"]);
        assert_eq!(rocky.title(), "a \"b\" $c");
        assert_eq!(parse("").title(), "Linux");
    }
}
