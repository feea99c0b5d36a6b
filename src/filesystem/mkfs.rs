//! The request to a program that makes a filesystem: an empty filesystem, and the user's own options.

use crate::error::{Result, usage};
use crate::filesystem::feature_table::{Feature, Version};
use std::str::FromStr;
use uuid::Uuid;

/// An empty filesystem to be made.
#[derive(Debug)]
pub struct New<'n> {
    /// Label of at most 12 bytes, which is the limit of XFS (ext4: 16).
    pub label: &'n str,
    /// UUID of the new filesystem.
    pub uuid: Uuid,
    /// Options of the user for the program that makes it.
    pub options: &'n MkfsOptions,
    /// Time that counts as the present, in seconds since 1970; the clock's if there is none.
    pub epoch: Option<u64>,
    /// Version of the kernel that must mount it; if there is none, any of 4.9 or newer.
    pub kernel: Option<Version>,
}

impl New<'_> {
    /// Returns whether the kernel that must mount it knows the feature called `name`. Features that are not
    /// in `table` count as known.
    pub(super) fn may_have(&self, table: &[Feature], name: &str) -> bool {
        let since = table.iter().filter(|feature| feature.name == name).map(|feature| feature.linux).max();
        self.kernel.is_none_or(|kernel| since.is_none_or(|since| since <= kernel))
    }
}

/// Options that the user adds to the command line of the program that makes a filesystem (`--mkfs-options`).
/// No shell interprets them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MkfsOptions(Vec<String>);

impl FromStr for MkfsOptions {
    type Err = anyhow::Error;

    /// Splits at white space. Refuses text that does not begin with an option, which would be taken for the
    /// device; and any path: a slot is its partition alone, with no journal on another device and no file of
    /// this machine in it.
    fn from_str(text: &str) -> Result<MkfsOptions> {
        let words: Vec<String> = text.split_whitespace().map(ToOwned::to_owned).collect();
        if let Some(first) = words.first().filter(|first| !first.starts_with('-')) {
            let found = format!("--mkfs-options begins with '{}', which is not an option", first.escape_debug());
            return Err(usage(found, "write them as on mkfs's command line: --mkfs-options '-i size=1024'"));
        }
        if let Some(path) = words.iter().find(|word| word.contains('/') || *word == "--") {
            let found = format!(
                "--mkfs-options contains '{}': a slot's filesystem is made in its own partition, from nothing else",
                path.escape_debug()
            );
            return Err(usage(found, "omit it"));
        }
        Ok(MkfsOptions(words))
    }
}

impl MkfsOptions {
    /// Returns whether there are no options.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the words in their order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Splits off the options `taken`, each a `-` and a letter. Returns the other words in their order, and
    /// each option taken with its value: `-O a,b` and `-Oa,b` alike.
    pub fn without<'o>(&'o self, taken: &[&str]) -> (Vec<&'o str>, Vec<(&'o str, &'o str)>) {
        let (mut rest, mut given) = (Vec::new(), Vec::new());
        let mut words = self.words();
        while let Some(word) = words.next() {
            match word.split_at_checked(2) {
                Some((option, "")) if taken.contains(&option) => given.push((option, words.next().unwrap_or_default())),
                Some((option, value)) if taken.contains(&option) => given.push((option, value)),
                _ => rest.push(word),
            }
        }
        (rest, given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_name_another_place_than_the_slot_are_refused() {
        for odd in ["/dev/sda", "reflink=0", "-d name=/dev/sda", "-K /dev/sda", "-J device=/dev/sdb", "-K -- x"] {
            let error = odd.parse::<MkfsOptions>().unwrap_err();
            assert_eq!(crate::error::kind(&error), crate::error::Kind::Usage, "{odd}");
        }
        assert_eq!("".parse::<MkfsOptions>().unwrap(), MkfsOptions::default());
    }

    #[test]
    fn an_option_is_taken_out_with_its_value_however_it_is_written() {
        let options: MkfsOptions = " -i  nrext64=1 -Ka -mbigtime=1 -d agcount=8 -i".parse().unwrap();
        let (rest, given) = options.without(&["-i", "-m"]);
        assert_eq!(rest, ["-Ka", "-d", "agcount=8"]);
        assert_eq!(given, [("-i", "nrext64=1"), ("-m", "bigtime=1"), ("-i", "")]);
    }
}
