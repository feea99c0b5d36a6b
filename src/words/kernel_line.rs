//! The kernel's command line as the kernel itself splits it, and the words on it by which a boot is known as a trial.

/// Key of the word for the means by which a kernel was started.
pub const BOOT_KEY: &str = "flipslot.boot=";
/// Value of [`BOOT_KEY`] for a boot of the proven slot.
pub const PROVEN: &str = "proven";
/// Key of the word for the deadline of a trial in seconds.
pub const DEADLINE_KEY: &str = "flipslot.deadline=";
/// Key of the word for the name of a machine.
pub const HOST_KEY: &str = "flipslot.host=";
/// Key of the word for the names of the keys that sign what a tag names.
pub const KEYS_KEY: &str = "flipslot.key=";
/// Key of the word for the file with the login at a registry, on a disk of the machine.
pub const AUTH_KEY: &str = "flipslot.auth=";
/// Key of the word for the hosts of token services to which that login may be sent.
pub const REALMS_KEY: &str = "flipslot.auth-realm=";
/// Key of the word for the hash by which the kernel compares the blocks of an image on a partition (dm-verity).
pub const VERITY_KEY: &str = "flipslot.verity=";
/// Seconds after the kernel's start at which an unconfirmed trial ends, unless another deadline is named: a server with
/// many disks and services takes a few minutes.
pub const DEADLINE: u64 = 600;
/// Largest number of seconds that is read: a year.
const LONGEST: u64 = 366 * 24 * 3600;

/// Splits a command line into words at spaces outside of double quotes, and takes the quotes away (kernel:
/// lib/cmdline.c, next_arg).
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            letter if letter.is_ascii_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            letter => word.push(letter),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// Returns the value of the last word with this key, which ends in `=`.
pub fn last<'w>(words: &'w [String], key: &str) -> Option<&'w str> {
    words.iter().rev().find_map(|word| word.strip_prefix(key))
}

/// Reads a number of seconds, at most a year; `None` for anything else.
pub fn seconds(text: &str) -> Option<u64> {
    text.parse().ok().filter(|seconds| *seconds <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_the_kernel_splits_it() {
        assert_eq!(words("  a b=c\td=\"e f\" \"g=h i\"\n"), ["a", "b=c", "d=e f", "g=h i"]);
        assert_eq!(words("\"no end x"), ["no end x"]);
        assert!(words(" \n").is_empty());
    }

    #[test]
    fn the_last_of_several_words_counts() {
        assert_eq!(last(&words("init=/a init=/b"), "init="), Some("/b"));
        assert_eq!(last(&words("init=/a"), "root="), None);
    }
}
