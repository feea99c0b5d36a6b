//! Quotes text for GRUB scripts (GRUB manual, "Quoting").

/// Quotes `text` as one word, in single quotes, in which only the quote itself is special. Control characters
/// would break the menu, and are replaced by spaces.
pub fn quote(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("'{}'", plain.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn f17_nothing_in_a_title_is_script() {
        assert_eq!(quote("Debian GNU/Linux 12"), "'Debian GNU/Linux 12'");
        assert_eq!(quote("x'; reboot; '"), r"'x'\''; reboot; '\'''");
        assert_eq!(quote("a\"$b`{c}\n\x1bd"), "'a\"$b`{c}  d'");
    }
}
