//! Texts that come from elsewhere, as they may be shown on a terminal.

/// Makes a text printable that quotes an image or a command line, which can hold anything: escapes control
/// characters, and cuts the text after about `most` bytes.
pub fn plain(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= most {
            shown.push_str(" ...");
            break;
        }
        put(c, &mut shown);
    }
    shown
}

/// Makes a text of several lines printable, whatever names of strangers are in it: escapes all control characters but
/// line feeds. Everything that a terminal may get goes through this.
pub fn lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|c| if c == '\n' { shown.push(c) } else { put(c, &mut shown) });
    shown
}

/// Adds a character, escaped if it would do something: control characters, and those that turn the direction of the
/// text around (Unicode Standard Annex 9).
fn put(c: char, shown: &mut String) {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { shown.extend(c.escape_default()) } else { shown.push(c) }
}

/// Writes one line to stderr, like `eprintln!`, but a closed stderr is not an error, and control characters are escaped.
#[macro_export]
macro_rules! stderr {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "{}", $crate::words::printable::lines(&format!($($line)*)));
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let text = "one\x1b]0;PWNED\x07\r\ntwo\u{9b}2J \u{202e}exe\u{2066} é\n";
        assert_eq!(lines(text), "one\\u{1b}]0;PWNED\\u{7}\\r\ntwo\\u{9b}2J \\u{202e}exe\\u{2066} é\n");
        assert_eq!(plain("a\nb", 9), "a\\nb");
        assert_eq!(plain("abcdef", 3), "abc ...");
    }
}
