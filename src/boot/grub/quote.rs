//! Text as one word of a GRUB script (GRUB manual, "Quoting").

/// `text` in single quotes, where nothing has a meaning but the quote itself. Control characters
/// would break the menu, and become spaces.
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
